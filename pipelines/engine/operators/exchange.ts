import type { EventTime } from '#kernel/time';
import type { PaneInfo } from '../dofn.ts';
import type { ElementCodec, ElementWriter, ExchangeMode } from '../element_codec.ts';
import { workerOf } from '../state/key_share.ts';
import type { Window } from '../windowing/window.ts';
import { type Edge, Operator } from './operator.ts';
import { unencodable } from './strict_edge.ts';

export interface ExchangeOutOptions {
  readonly name: string;
  readonly input: Edge;
  readonly exchange: number;
  readonly mode: ExchangeMode;
  readonly shards: number;
  readonly codec: ElementCodec;
}

/** The end of a stage: keeps elements, encoded, until they are taken to the shards of a later stage. */
export class ExchangeOut extends Operator {
  readonly exchange: number;
  readonly #mode: ExchangeMode;
  readonly #shards: number;
  readonly #writers: readonly ElementWriter[];
  readonly #codec: ElementCodec;
  #next = 0;

  constructor({ name, input, exchange, mode, shards, codec }: ExchangeOutOptions) {
    super(name, input);
    this.exchange = exchange;
    this.#mode = mode;
    this.#shards = shards;
    this.#codec = codec;
    this.#writers = Array.from({ length: mode === 'everywhere' ? 1 : shards }, () => codec.createWriter());
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const writer = this.#writers[this.#writerOf(value)] as ElementWriter;
    try {
      writer.write(value, timestamp, window, pane);
    } catch (error) {
      throw unencodable(this.input as Edge, this.#codec.name, value, error);
    }
  }

  #writerOf(value: unknown): number {
    if (this.#mode === 'byKey') return workerOf((value as { readonly key: unknown }).key, this.#shards);
    if (this.#mode === 'everywhere') return 0;
    this.#next = (this.#next + 1) % this.#shards;
    return this.#next;
  }

  /** What the bundle left for each shard; undefined where that is nothing. */
  take(): readonly (Uint8Array | undefined)[] {
    const taken = this.#writers.map((writer) => (writer.length === 0 ? undefined : writer.take()));
    return this.#mode === 'everywhere' ? Array.from({ length: this.#shards }, () => taken[0]) : taken;
  }
}

/** The beginning of a stage on a shard: passes on what other threads have sent. */
export class ExchangeIn extends Operator {
  readonly exchange: number;
  readonly #codec: ElementCodec;
  readonly #output: Edge;

  constructor(name: string, output: Edge, exchange: number, codec: ElementCodec) {
    super(name, undefined);
    this.exchange = exchange;
    this.#codec = codec;
    this.#output = output;
    output.producers.push(this);
  }

  receive(): void {}

  /** Passes elements on, within an open bundle. */
  deliver(bytes: Uint8Array): void {
    this.#codec.read(bytes, this.#output);
  }

  /** Nothing before `watermark` comes after this bundle. */
  advanceTo(watermark: EventTime): void {
    if (watermark > this.inputWatermark) this.inputWatermark = watermark;
  }
}
