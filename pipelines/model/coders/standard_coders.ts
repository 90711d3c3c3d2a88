import type { PaneInfo } from '#pipelines/engine/dofn';
import { GLOBAL_WINDOW, Window } from '#pipelines/engine/windowing/window';
import { ByteReader, ByteWriter } from './bytes.ts';
import { BaseCoder, type Coder } from './coder.ts';
import { readTime, writeTime } from './wire_time.ts';

export class BytesCoder extends BaseCoder<Uint8Array> {
  constructor() {
    super('beam:coder:bytes:v1');
  }
  encode(value: Uint8Array, out: ByteWriter, nested: boolean): void {
    if (nested) out.varint(value.length);
    out.bytes(value);
  }
  decode(from: ByteReader, nested: boolean): Uint8Array {
    return Uint8Array.from(from.bytes(nested ? from.size() : from.remaining));
  }
}

export class StringUtf8Coder extends BaseCoder<string> {
  constructor() {
    super('beam:coder:string_utf8:v1');
  }
  encode(value: string, out: ByteWriter, nested: boolean): void {
    if (nested) out.lengthPrefixedText(value);
    else out.text(value);
  }
  decode(from: ByteReader, nested: boolean): string {
    return from.text(nested ? from.size() : from.remaining);
  }
}

export class BoolCoder extends BaseCoder<boolean> {
  constructor() {
    super('beam:coder:bool:v1');
  }
  encode(value: boolean, out: ByteWriter): void {
    out.byte(value ? 1 : 0);
  }
  decode(from: ByteReader): boolean {
    return from.byte() === 1;
  }
}

/** 64-bit integers: a number where it is exact, otherwise a bigint. */
export class VarIntCoder extends BaseCoder<number | bigint> {
  constructor() {
    super('beam:coder:varint:v1');
  }
  encode(value: number | bigint, out: ByteWriter): void {
    out.varint(value);
  }
  decode(from: ByteReader): number | bigint {
    return from.varint();
  }
}

export class DoubleCoder extends BaseCoder<number> {
  constructor() {
    super('beam:coder:double:v1');
  }
  encode(value: number, out: ByteWriter): void {
    out.double(value);
  }
  decode(from: ByteReader): number {
    return from.double();
  }
}

export interface KeyValue<K, V> {
  readonly key: K;
  readonly value: V;
}

export class KvCoder<K, V> extends BaseCoder<KeyValue<K, V>> {
  readonly keyCoder: Coder<K>;
  readonly valueCoder: Coder<V>;
  constructor(keyCoder: Coder<K>, valueCoder: Coder<V>) {
    super('beam:coder:kv:v1', [keyCoder, valueCoder]);
    this.keyCoder = keyCoder;
    this.valueCoder = valueCoder;
  }
  encode(element: KeyValue<K, V>, out: ByteWriter, nested: boolean): void {
    this.keyCoder.encode(element.key, out, true);
    this.valueCoder.encode(element.value, out, nested);
  }
  decode(from: ByteReader, nested: boolean): KeyValue<K, V> {
    return { key: this.keyCoder.decode(from, true), value: this.valueCoder.decode(from, nested) };
  }
}

/** Fetches what follows a long iterable's first part: its elements, encoded one after another. */
export type IterableTail = (token: Uint8Array) => Uint8Array;

const UNKNOWN_LENGTH = -1;

/** An array; with its length where it is known, otherwise in blocks, which may continue in a runner's state. */
export class IterableCoder<T> extends BaseCoder<readonly T[]> {
  readonly elementCoder: Coder<T>;
  readonly #fetchTail: IterableTail | undefined;

  constructor(elementCoder: Coder<T>, urn = 'beam:coder:iterable:v1', fetchTail?: IterableTail) {
    super(urn, [elementCoder]);
    this.elementCoder = elementCoder;
    this.#fetchTail = fetchTail;
  }

  encode(values: readonly T[], out: ByteWriter): void {
    out.int32(values.length);
    for (const value of values) this.elementCoder.encode(value, out, true);
  }

  decode(from: ByteReader): readonly T[] {
    const length = from.int32();
    const values: T[] = [];
    if (length !== UNKNOWN_LENGTH) {
      for (let index = 0; index < length; index += 1) values.push(this.elementCoder.decode(from, true));
      return values;
    }
    for (;;) {
      const block = from.varint();
      if (block === 0) return values;
      if (block === UNKNOWN_LENGTH) break;
      for (let index = 0; index < Number(block); index += 1) values.push(this.elementCoder.decode(from, true));
    }
    const token = Uint8Array.from(from.bytes(from.size()));
    if (this.#fetchTail === undefined)
      throw new RangeError('an iterable continues in state, and no state can be read here');
    const tail = new ByteReader(this.#fetchTail(token));
    while (!tail.isAtEnd) values.push(this.elementCoder.decode(tail, true));
    return values;
  }
}

/** Lets a reader that does not know the component skip over it. */
export class LengthPrefixCoder<T> extends BaseCoder<T> {
  readonly #component: Coder<T>;
  readonly #scratch = new ByteWriter();
  constructor(component: Coder<T>) {
    super('beam:coder:length_prefix:v1', [component]);
    this.#component = component;
  }
  encode(value: T, out: ByteWriter): void {
    this.#scratch.reset();
    this.#component.encode(value, this.#scratch, false);
    out.varint(this.#scratch.length);
    out.bytes(this.#scratch.view());
  }
  decode(from: ByteReader): T {
    return this.#component.decode(new ByteReader(from.bytes(from.size())), false);
  }
}

export class NullableCoder<T> extends BaseCoder<T | null> {
  readonly #component: Coder<T>;
  constructor(component: Coder<T>) {
    super('beam:coder:nullable:v1', [component]);
    this.#component = component;
  }
  encode(value: T | null, out: ByteWriter, nested: boolean): void {
    out.byte(value === null ? 0 : 1);
    if (value !== null) this.#component.encode(value, out, nested);
  }
  decode(from: ByteReader, nested: boolean): T | null {
    return from.byte() === 0 ? null : this.#component.decode(from, nested);
  }
}

export interface ShardedKey<K> {
  readonly shardId: Uint8Array;
  readonly key: K;
}

export class ShardedKeyCoder<K> extends BaseCoder<ShardedKey<K>> {
  readonly #keyCoder: Coder<K>;
  constructor(keyCoder: Coder<K>) {
    super('beam:coder:sharded_key:v1', [keyCoder]);
    this.#keyCoder = keyCoder;
  }
  encode({ shardId, key }: ShardedKey<K>, out: ByteWriter): void {
    out.varint(shardId.length);
    out.bytes(shardId);
    this.#keyCoder.encode(key, out, true);
  }
  decode(from: ByteReader): ShardedKey<K> {
    const shardId = Uint8Array.from(from.bytes(from.size()));
    return { shardId, key: this.#keyCoder.decode(from, true) };
  }
}

// --- windows -------------------------------------------------------------------------------------------------------

export class GlobalWindowCoder extends BaseCoder<Window> {
  constructor() {
    super('beam:coder:global_window:v1');
  }
  encode(): void {}
  decode(): Window {
    return GLOBAL_WINDOW;
  }
}

/** End, then length in ms. */
export class IntervalWindowCoder extends BaseCoder<Window> {
  constructor() {
    super('beam:coder:interval_window:v1');
  }
  encode(window: Window, out: ByteWriter): void {
    writeTime(window.end, out);
    out.varint(window.end - window.start);
  }
  decode(from: ByteReader): Window {
    const end = readTime(from);
    return new Window(end - Number(from.varint()), end);
  }
}

/** A window that runners need not understand: its last timestamp, then the window. */
export class CustomWindowCoder extends BaseCoder<Window> {
  readonly #component: Coder<Window>;
  constructor(component: Coder<Window>) {
    super('beam:coder:custom_window:v1', [component]);
    this.#component = component;
  }
  encode(window: Window, out: ByteWriter): void {
    writeTime(window.maxTimestamp(), out);
    this.#component.encode(window, out, true);
  }
  decode(from: ByteReader): Window {
    readTime(from);
    return this.#component.decode(from, true);
  }
}

const TIMINGS = ['EARLY', 'ON_TIME', 'LATE', 'UNKNOWN'] as const;
const FIRST = 0;
const ONE_INDEX = 1;
const TWO_INDICES = 2;

function writePane(pane: PaneInfo, out: ByteWriter): void {
  const { index, onTimeIndex, timing } = pane;
  const flags = (pane.isFirst ? 1 : 0) | (pane.isLast ? 2 : 0) | (TIMINGS.indexOf(timing) << 2);
  if ((index === 0 && onTimeIndex === 0) || timing === 'UNKNOWN') {
    out.byte(flags | (FIRST << 4));
  } else if (index === onTimeIndex || timing === 'EARLY') {
    out.byte(flags | (ONE_INDEX << 4));
    out.varint(index);
  } else {
    out.byte(flags | (TWO_INDICES << 4));
    out.varint(index);
    out.varint(onTimeIndex);
  }
}

/** Panes of one byte are few: each is one object. */
const SINGLE_BYTE_PANES: readonly PaneInfo[] = Array.from({ length: 16 }, (_, flags) => ({
  isFirst: (flags & 1) !== 0,
  isLast: (flags & 2) !== 0,
  timing: TIMINGS[flags >> 2] as PaneInfo['timing'],
  index: 0,
  onTimeIndex: 0,
}));

function readPane(from: ByteReader): PaneInfo {
  const first = from.byte();
  const pane = SINGLE_BYTE_PANES[first & 0x0f] as PaneInfo;
  const encoding = first >> 4;
  if (encoding === FIRST) return pane;
  const index = from.size();
  if (encoding === ONE_INDEX) return { ...pane, index, onTimeIndex: pane.timing === 'EARLY' ? -1 : index };
  return { ...pane, index, onTimeIndex: from.size() };
}

/** An element with its place in time. */
export interface WindowedValue<T> {
  readonly value: T;
  readonly timestamp: number;
  readonly windows: readonly Window[];
  readonly pane: PaneInfo;
}

export class WindowedValueCoder<T> extends BaseCoder<WindowedValue<T>> {
  readonly valueCoder: Coder<T>;
  readonly windowCoder: Coder<Window>;
  constructor(valueCoder: Coder<T>, windowCoder: Coder<Window>) {
    super('beam:coder:windowed_value:v1', [valueCoder, windowCoder]);
    this.valueCoder = valueCoder;
    this.windowCoder = windowCoder;
  }
  encode({ value, timestamp, windows, pane }: WindowedValue<T>, out: ByteWriter, nested: boolean): void {
    writeTime(timestamp, out);
    writeWindows(this.windowCoder, windows, out);
    writePane(pane, out);
    this.valueCoder.encode(value, out, nested);
  }
  /** One window, without an object around it: the way of almost every element. */
  encodeOne(value: T, timestamp: number, window: Window, pane: PaneInfo, out: ByteWriter): void {
    writeTime(timestamp, out);
    out.int32(1);
    this.windowCoder.encode(window, out, true);
    writePane(pane, out);
    this.valueCoder.encode(value, out, true);
  }
  decode(from: ByteReader, nested: boolean): WindowedValue<T> {
    const timestamp = readTime(from);
    const windows = readWindows(this.windowCoder, from);
    const pane = readPane(from);
    return { value: this.valueCoder.decode(from, nested), timestamp, windows, pane };
  }
}

/** Elements that all have the same time, windows and pane: the payload, encoded as an empty windowed value. */
export class ParamWindowedValueCoder<T> extends BaseCoder<WindowedValue<T>> {
  readonly #valueCoder: Coder<T>;
  readonly #same: WindowedValue<undefined>;
  constructor(valueCoder: Coder<T>, windowCoder: Coder<Window>, payload: Uint8Array) {
    super('beam:coder:param_windowed_value:v1', [valueCoder, windowCoder], payload);
    this.#valueCoder = valueCoder;
    const from = new ByteReader(payload);
    const timestamp = readTime(from);
    const windows = readWindows(windowCoder, from);
    this.#same = { value: undefined, timestamp, windows, pane: readPane(from) };
  }
  encode({ value }: WindowedValue<T>, out: ByteWriter, nested: boolean): void {
    this.#valueCoder.encode(value, out, nested);
  }
  decode(from: ByteReader, nested: boolean): WindowedValue<T> {
    return { ...this.#same, value: this.#valueCoder.decode(from, nested) };
  }
}

function writeWindows(coder: Coder<Window>, windows: readonly Window[], out: ByteWriter): void {
  out.int32(windows.length);
  for (const window of windows) coder.encode(window, out, true);
}

function readWindows(coder: Coder<Window>, from: ByteReader): Window[] {
  const windows: Window[] = [];
  for (let count = from.int32(); count > 0; count -= 1) windows.push(coder.decode(from, true));
  return windows;
}

/** A timer that is set, or cleared: then it has neither times nor pane. */
export interface WireTimer<K> {
  readonly userKey: K;
  readonly dynamicTimerTag: string;
  readonly windows: readonly Window[];
  readonly clearBit: boolean;
  readonly fireTimestamp?: number;
  readonly holdTimestamp?: number;
  readonly pane?: PaneInfo;
}

export class TimerCoder<K> extends BaseCoder<WireTimer<K>> {
  readonly #keyCoder: Coder<K>;
  readonly #windowCoder: Coder<Window>;
  constructor(keyCoder: Coder<K>, windowCoder: Coder<Window>) {
    super('beam:coder:timer:v1', [keyCoder, windowCoder]);
    this.#keyCoder = keyCoder;
    this.#windowCoder = windowCoder;
  }
  encode(timer: WireTimer<K>, out: ByteWriter): void {
    this.#keyCoder.encode(timer.userKey, out, true);
    out.lengthPrefixedText(timer.dynamicTimerTag);
    writeWindows(this.#windowCoder, timer.windows, out);
    out.byte(timer.clearBit ? 1 : 0);
    if (timer.clearBit) return;
    writeTime(timer.fireTimestamp as number, out);
    writeTime(timer.holdTimestamp as number, out);
    writePane(timer.pane as PaneInfo, out);
  }
  decode(from: ByteReader): WireTimer<K> {
    const userKey = this.#keyCoder.decode(from, true);
    const dynamicTimerTag = from.text(from.size());
    const windows = readWindows(this.#windowCoder, from);
    if (from.byte() === 1) return { userKey, dynamicTimerTag, windows, clearBit: true };
    const fireTimestamp = readTime(from);
    const holdTimestamp = readTime(from);
    return { userKey, dynamicTimerTag, windows, clearBit: false, fireTimestamp, holdTimestamp, pane: readPane(from) };
  }
}
