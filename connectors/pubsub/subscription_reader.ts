import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '@google-cloud/pubsub';
import { LRUCache } from 'lru-cache';
import type { LogRecord, Position, SourcePartition } from '#connectors/connector';
import type { Logger } from '#monitoring/log';
import { fromMessage } from './messages.ts';
import { type PulledStream, StreamPool, type StreamPoolParts } from './stream_pool.ts';

/** A message that is held: its lease is extended until it is acknowledged or given back. */
interface Held {
  message: Message;
  stream: PulledStream;
  readonly id: string;
  /** Order in which this reader saw it, from 1 on. */
  readonly sequence: number;
}

export interface SubscriptionReaderParts
  extends Pick<StreamPoolParts, 'openStream' | 'mostStreams' | 'messagesOfStream'> {
  readonly partition: string;
  /** Records that a snapshot holds already: when they come, they are acknowledged and dropped. */
  readonly done: ReadonlySet<string>;
  readonly idAttribute: string | undefined;
  readonly duplicateMemory: number;
  readonly log: Logger;
  readonly understand: (error: unknown) => unknown;
  readonly onClose: () => void;
}

/** A reader that has been quiet for so long has seen what there is, as far as it can tell. */
const QUIET_MS = 2_000;
const OLDEST_EVERY_MS = 500;

/**
 * One reader of a subscription. Pub/Sub has no positions: it delivers until a record is acknowledged. A position here is what was
 * polled and not acknowledged yet; records are acknowledged once a snapshot holds them, and what comes again after a restart is
 * known by the position in that snapshot.
 */
export class SubscriptionReader implements SourcePartition {
  readonly #parts: SubscriptionReaderParts;
  readonly #done: Set<string>;
  readonly #acknowledged: LRUCache<string, true>;
  readonly #streams: StreamPool;
  /** Arrived and not polled, by id. */
  readonly #waiting = new Map<string, Held>();
  /** Polled and not acknowledged, by id. */
  readonly #polled = new Map<string, Held>();
  #sequence = 0;
  #polledTo = 0;
  /** Ids of {@link #polled} and of {@link #done}, joined: appending to a string is cheap, joining is not. */
  #ids: string;
  #failure: unknown;
  #lastMessageMs = Date.now();
  #oldest: { readonly atMs: number; readonly value: number | undefined } = { atMs: 0, value: undefined };
  #wake: () => void = () => {};

  constructor(parts: SubscriptionReaderParts) {
    this.#parts = parts;
    this.#done = new Set(parts.done);
    this.#ids = [...this.#done].map((id) => `${id},`).join('');
    this.#acknowledged = new LRUCache({ max: parts.duplicateMemory });
    this.#streams = new StreamPool({
      ...parts,
      onMessage: (message, stream) => this.#receive(message, stream),
      onError: (error) => {
        this.#failure = error;
        this.#wake();
      },
    });
  }

  #receive(message: Message, stream: PulledStream): void {
    this.#lastMessageMs = Date.now();
    stream.held += 1;
    const { idAttribute } = this.#parts;
    const id = (idAttribute === undefined ? undefined : message.attributes[idAttribute]) ?? message.id;
    if (this.#done.has(id) || this.#acknowledged.has(id)) {
      void this.#acknowledge([{ message, stream, id, sequence: 0 }]);
      return;
    }
    const held = this.#waiting.get(id) ?? this.#polled.get(id);
    if (held !== undefined) {
      // It came again: only its newest delivery can be acknowledged. A twin with the same id is acknowledged with it.
      if (held.message.id === message.id) {
        held.stream.held -= 1;
        held.message = message;
        held.stream = stream;
      } else {
        message.ack();
        stream.held -= 1;
      }
      return;
    }
    this.#sequence += 1;
    this.#waiting.set(id, { message, stream, id, sequence: this.#sequence });
    this.#wake();
  }

  async poll(options: { maxRecords: number; maxWaitMs: number; signal: AbortSignal }): Promise<readonly LogRecord[]> {
    if (this.#waiting.size === 0) await this.#arrival(options.maxWaitMs, options.signal);
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw this.#parts.understand(failure);
    const records: LogRecord[] = [];
    for (const [id, held] of this.#waiting) {
      if (records.length >= options.maxRecords) break;
      this.#waiting.delete(id);
      this.#polled.set(id, held);
      this.#ids += `${id},`;
      this.#polledTo = held.sequence;
      records.push(fromMessage(held.message, this.#parts.partition, held.sequence));
    }
    return records;
  }

  async #arrival(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#failure !== undefined || signal.aborted) return;
    const cancel = new AbortController();
    const arrived = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const late = sleep(maxWaitMs, undefined, { signal: AbortSignal.any([signal, cancel.signal]) }).catch(() => {});
    await Promise.race([arrived, late]);
    cancel.abort();
    this.#wake = () => {};
  }

  position(): Position {
    return `${this.#polledTo};${this.#ids}`;
  }

  /** Pub/Sub does not say how many there are: what has arrived, and one more until nothing has come for a while. */
  lagRecords(): bigint {
    return BigInt(this.#waiting.size + (Date.now() - this.#lastMessageMs < QUIET_MS ? 1 : 0));
  }

  oldestPendingMs(): number | undefined {
    const nowMs = Date.now();
    if (nowMs - this.#oldest.atMs >= OLDEST_EVERY_MS) {
      let value: number | undefined;
      for (const held of [this.#waiting, this.#polled]) {
        for (const { message } of held.values()) {
          const publishedMs = message.publishTime.getTime();
          if (value === undefined || publishedMs < value) value = publishedMs;
        }
      }
      this.#oldest = { atMs: nowMs, value };
    }
    return this.#oldest.value;
  }

  workers(): number {
    return this.#streams.size;
  }

  /** Acknowledges records that were polled, and no others. */
  async acknowledge(records: readonly LogRecord[]): Promise<void> {
    const sequences = new Set(records.map(({ offset }) => Number(offset)));
    await this.#acknowledge([...this.#polled.values()].filter(({ sequence }) => sequences.has(sequence)));
  }

  /** Acknowledges what was polled up to a position: a snapshot holds it. */
  async commit(position: Position): Promise<void> {
    const { polledTo } = parsePosition(position);
    const ready: Held[] = [];
    for (const held of this.#polled.values()) {
      if (held.sequence > polledTo) break;
      ready.push(held);
    }
    await this.#acknowledge(ready);
  }

  async #acknowledge(ready: readonly Held[]): Promise<void> {
    const outcomes = await Promise.allSettled(ready.map(({ message }) => message.ackWithResponse()));
    let failed = 0;
    for (const [index, { status }] of outcomes.entries()) {
      const { id, stream } = ready[index] as Held;
      // One that is held stays held, until it comes again.
      if (status === 'fulfilled' || !this.#polled.has(id)) stream.held -= 1;
      if (status === 'fulfilled') {
        this.#polled.delete(id);
        this.#done.delete(id);
        this.#acknowledged.set(id, true);
      } else {
        failed += 1;
      }
    }
    // They will be delivered again, known, and acknowledged then.
    if (failed > 0) this.#parts.log.warn({ failed, of: ready.length }, 'pubsub.not_acknowledged');
    this.#ids = [...this.#done, ...this.#polled.keys()].map((id) => `${id},`).join('');
  }

  async close(): Promise<void> {
    this.#wake();
    await this.#streams.close();
    this.#parts.onClose();
  }
}

/** @throws RangeError when it is no position of {@link SubscriptionReader} */
export function parsePosition(position: Position): { readonly polledTo: number; readonly ids: ReadonlySet<string> } {
  const at = position.indexOf(';');
  const polledTo = Number(position.slice(0, at));
  if (at < 1 || !Number.isInteger(polledTo))
    throw new RangeError(`"${position.slice(0, 50)}" is no position in a subscription`);
  return {
    polledTo,
    ids: new Set(
      position
        .slice(at + 1)
        .split(',')
        .filter((id) => id !== ''),
    ),
  };
}
