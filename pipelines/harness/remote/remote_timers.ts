import { NO_FIRING } from '#pipelines/engine/operators/operator';
import type { PendingTimer, TimerSlot, TimerStore } from '#pipelines/engine/time/timer_queue';
import { ByteReader, ByteWriter } from '#pipelines/model/coders/bytes';
import type { TimerCoder, WireTimer } from '#pipelines/model/coders/standard_coders';

/** Timers of one DoFn, kept by a runner: sent at the end of the bundle, the last word for each timer only. */
export class RemoteTimers implements TimerStore {
  readonly #coders: ReadonlyMap<string, TimerCoder<unknown>>;
  readonly #pending = new Map<string, { readonly family: string; readonly timer: WireTimer<unknown> }>();

  /** @param coders - by timer family */
  constructor(coders: ReadonlyMap<string, TimerCoder<unknown>>) {
    this.#coders = coders;
  }

  get families(): Iterable<string> {
    return this.#coders.keys();
  }

  set(keyId: unknown, { key, window, specId, tag, at, outputTimestamp }: PendingTimer): void {
    this.#pending.set(slotOf(keyId, { window, specId, tag }), {
      family: specId,
      timer: {
        userKey: key,
        dynamicTimerTag: tag,
        windows: [window],
        clearBit: false,
        fireTimestamp: at,
        holdTimestamp: outputTimestamp,
        pane: NO_FIRING,
      },
    });
  }

  clear(keyId: unknown, slot: TimerSlot, key: unknown): void {
    this.#pending.set(slotOf(keyId, slot), {
      family: slot.specId,
      timer: { userKey: key, dynamicTimerTag: slot.tag, windows: [slot.window], clearBit: true },
    });
  }

  /** Encoded timers to send, by family. */
  take(): ReadonlyMap<string, Uint8Array> {
    const writers = new Map<string, ByteWriter>();
    for (const { family, timer } of this.#pending.values()) {
      let writer = writers.get(family);
      if (writer === undefined) {
        writer = new ByteWriter();
        writers.set(family, writer);
      }
      (this.#coders.get(family) as TimerCoder<unknown>).encode(timer, writer);
    }
    this.#pending.clear();
    return new Map([...writers].map(([family, writer]) => [family, writer.finish()]));
  }

  /** Timers that a runner says are due. */
  *decode(family: string, bytes: Uint8Array): Iterable<WireTimer<unknown>> {
    const coder = this.#coders.get(family) as TimerCoder<unknown>;
    const reader = new ByteReader(bytes);
    while (!reader.isAtEnd) yield coder.decode(reader);
  }

  reset(): void {
    this.#pending.clear();
  }
}

const slotOf = (keyId: unknown, { window, specId, tag }: TimerSlot): string =>
  `${typeof keyId}:${String(keyId)}\u0000${window.id}\u0000${specId}\u0000${tag}`;
