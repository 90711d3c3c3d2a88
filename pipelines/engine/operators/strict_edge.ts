import { messageOf } from '#kernel/errors';
import type { EventTime } from '#kernel/time';
import type { PaneInfo } from '../dofn.ts';
import { describeElement, InvalidPipelineError } from '../errors.ts';
import type { Codec } from '../plan.ts';
import type { Receiver } from '../receiver.ts';
import type { Window } from '../windowing/window.ts';
import { Edge } from './operator.ts';

/**
 * A PCollection that behaves as if every consumer were on another machine: each gets a copy of its own, made by encoding and
 * decoding, and may not change it while it is called. Slow; for tests.
 */
export class StrictEdge extends Edge {
  readonly #codec: Codec;
  readonly #receivers: Receiver[] = [];

  constructor(name: string, codec: Codec) {
    super(name);
    this.#codec = codec;
  }

  override connect(consumer: Receiver): void {
    this.#receivers.push(consumer);
    super.connect(consumer);
  }

  override receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    this.elements += 1;
    const bytes = this.#encode(value);
    if (this.#receivers.length === 0) return;
    for (const receiver of this.#receivers) {
      const copy = this.#codec.decode(bytes);
      const before = this.#codec.encode(copy);
      receiver.receive(copy, timestamp, window, pane);
      if (Buffer.compare(before, this.#encode(copy)) !== 0) {
        throw new InvalidPipelineError(
          `${consumerOf(receiver)} changed its input ${describeElement(this.#codec.decode(bytes))}: other consumers may see the same object; make a copy and change that`,
        );
      }
    }
  }

  #encode(value: unknown): Uint8Array {
    try {
      return this.#codec.encode(value);
    } catch (error) {
      throw unencodable(this, this.#codec.name, value, error);
    }
  }
}

const consumerOf = (receiver: Receiver): string =>
  'name' in receiver ? `transform "${String(receiver.name)}"` : 'a side input';

/** An element does not fit its PCollection's coder. */
export function unencodable(edge: Edge, coder: string, value: unknown, cause: unknown): InvalidPipelineError {
  const from = edge.producers.map(({ name }) => `"${name}"`).join(', ');
  return new InvalidPipelineError(
    `an output of ${from} cannot be encoded by its coder ${coder}: ${messageOf(cause)}. The element is ${describeElement(value)}; output what the coder takes, or give the transform another coder`,
  );
}
