import { type EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import { NO_OUTPUT_TIMESTAMP } from '#pipelines/engine/time/check_time';
import type { ByteReader, ByteWriter } from './bytes.ts';

// Beam's infinities, ms. They exceed 2^53, so the days next to them are mapped onto the days next to ours.
const WIRE_MIN = -9_223_372_036_854_775n;
const WIRE_MAX = 9_223_372_036_854_775n;
/** The hold of a timer that puts nothing out, as Beam Java writes it. */
const WIRE_NO_OUTPUT = WIRE_MAX + 1n;
const MARGIN_MS = 10 * 86_400_000;

/** Event time as Beam counts it on the wire. */
export function toWireMillis(time: number): bigint {
  if (time === NO_OUTPUT_TIMESTAMP) return WIRE_NO_OUTPUT;
  if (time > MAX_EVENT_TIME - MARGIN_MS) return WIRE_MAX - BigInt(MAX_EVENT_TIME - time);
  if (time < MIN_EVENT_TIME + MARGIN_MS) return WIRE_MIN + BigInt(time - MIN_EVENT_TIME);
  return BigInt(Math.trunc(time));
}

/** @throws RangeError for a time that is none: neither near Beam's infinities nor within ±2^53 ms */
export function fromWireMillis(millis: bigint): EventTime {
  if (millis === WIRE_NO_OUTPUT) return NO_OUTPUT_TIMESTAMP;
  if (millis > WIRE_MAX - BigInt(MARGIN_MS)) return (MAX_EVENT_TIME - Number(WIRE_MAX - millis)) as EventTime;
  if (millis < WIRE_MIN + BigInt(MARGIN_MS)) return (MIN_EVENT_TIME + Number(millis - WIRE_MIN)) as EventTime;
  const time = Number(millis);
  if (!Number.isSafeInteger(time)) throw new RangeError(`${millis} ms is no time that can be kept exactly`);
  return time as EventTime;
}

const TWO_32 = 0x1_0000_0000;
const SIGN = 0x8000_0000;

/** 8 bytes, big-endian, shifted so that earlier times sort first. */
export function writeTime(time: number, out: ByteWriter): void {
  if (time > MAX_EVENT_TIME - MARGIN_MS || time < MIN_EVENT_TIME + MARGIN_MS) {
    out.int64(BigInt.asIntN(64, toWireMillis(time) + (1n << 63n)));
    return;
  }
  const whole = Math.trunc(time);
  const high = Math.floor(whole / TWO_32);
  out.uint32((high + SIGN) >>> 0);
  out.uint32(whole - high * TWO_32);
}

export function readTime(from: ByteReader): EventTime {
  const high = from.uint32() - SIGN;
  const low = from.uint32();
  const time = high * TWO_32 + low;
  // Far from the limits of a double this sum is exact.
  if (Math.abs(time) < MAX_EVENT_TIME - MARGIN_MS) return time as EventTime;
  return fromWireMillis((BigInt(high) << 32n) + BigInt(low));
}
