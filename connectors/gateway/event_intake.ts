import { LRUCache } from 'lru-cache';
import type { OutgoingRecord, Producer } from '#connectors/connector';
import { messageOf, type PlatformError } from '#kernel/errors';
import type { Clock } from '#kernel/time';
import { Counter, type Registry } from '#monitoring/metrics';
import { TRACEPARENT } from '#monitoring/tracing';
import type { DeadLetter } from '../dead_letters.ts';
import { BodyTooLargeError, type FieldProblem, InvalidEventError } from './errors.ts';
import { parseJson, type ValidateEvent, type ValidEvent } from './event_validator.ts';
import { SendQueue } from './send_queue.ts';

export type Outcome = 'accepted' | 'duplicate';

/** What became of one event of a batch. */
export type BatchResult =
  | { readonly index: number; readonly event_id: string; readonly status: Outcome }
  | {
      readonly index: number;
      readonly status: 'rejected';
      readonly reason: string;
      readonly fields: readonly FieldProblem[];
    }
  | { readonly index: number; readonly status: 'failed'; readonly reason: string };

export interface IntakeTopics {
  readonly rawEvents: string;
  readonly deadLetters: string;
}

export interface IntakeDeps {
  readonly producer: Producer;
  readonly validate: ValidateEvent;
  readonly clock: Clock;
  readonly metrics: Registry;
  /** Event ids remembered for answering a repeated event. */
  readonly rememberedIds: number;
}

const SOURCE = 'gateway';
/** How much of a body that is too large goes to the dead letters, characters. */
const KEPT_OF_LARGE_BODY = 64 * 1_024;

/** A repetition waits for the first one's fate; true: it is durable. */
type Fate = true | Promise<void>;

/**
 * Takes events in: checks them, drops repetitions, and answers once they are durable in the broker, not before. What is refused goes whole
 * to the dead letters, with the reason, before that is answered: nothing that came in is lost.
 */
export class EventIntake {
  readonly #deps: IntakeDeps;
  readonly #topics: IntakeTopics;
  readonly #events: SendQueue;
  readonly #deadLetters: SendQueue;
  readonly #seen: LRUCache<string, Fate>;
  readonly #counters: ReturnType<typeof createCounters>;
  #enrichment = { atMs: Number.NaN, text: '' };

  constructor(deps: IntakeDeps, topics: IntakeTopics) {
    this.#deps = deps;
    this.#topics = topics;
    this.#events = new SendQueue(deps.producer, topics.rawEvents);
    this.#deadLetters = new SendQueue(deps.producer, topics.deadLetters);
    this.#seen = new LRUCache({ max: deps.rememberedIds });
    this.#counters = createCounters(deps.metrics);
  }

  /** @param traceparent - of the request: goes along with the record. @throws {@link InvalidEventError}; what the broker fails with */
  async take(text: string, traceparent?: string): Promise<{ readonly eventId: string; readonly outcome: Outcome }> {
    this.#counters.received.inc();
    let event: ValidEvent;
    try {
      event = this.#validate(text);
    } catch (error) {
      if (error instanceof InvalidEventError) await this.#refuse(text, error);
      throw error;
    }
    const { eventId } = event;
    const earlier = this.#seen.get(eventId);
    if (earlier !== undefined) {
      await earlier;
      this.#counters.duplicates.inc();
      return { eventId, outcome: 'duplicate' };
    }
    const sending = this.#events.send(this.#recordOf(event, text, traceparent));
    this.#seen.set(eventId, sending);
    try {
      await sending;
    } catch (error) {
      // Not taken: the client's next try must not be called a repetition.
      this.#seen.delete(eventId);
      throw error;
    }
    this.#seen.set(eventId, true);
    this.#counters.accepted.inc();
    return { eventId, outcome: 'accepted' };
  }

  /** A result for each event, in their order; never throws. */
  async takeAll(texts: readonly string[], traceparent?: string): Promise<readonly BatchResult[]> {
    this.#counters.received.inc(texts.length);
    const results = new Array<BatchResult>(texts.length);
    const others: Promise<void>[] = [];
    const records: OutgoingRecord[] = [];
    const ids: { readonly index: number; readonly eventId: string }[] = [];
    let settle: (outcome: Promise<void>) => void = () => {};
    // Made before it is sent, so that repetitions within the batch can wait for it.
    const sending = new Promise<void>((resolve) => {
      settle = resolve;
    });
    for (const [index, text] of texts.entries()) {
      try {
        const event = this.#validate(text);
        const { eventId } = event;
        const earlier = this.#seen.get(eventId);
        if (earlier === undefined) {
          this.#seen.set(eventId, sending);
          records.push(this.#recordOf(event, text, traceparent));
          ids.push({ index, eventId });
        } else {
          others.push(this.#repeat(results, index, eventId, earlier));
        }
      } catch (error) {
        others.push(this.#reject(results, index, text, error));
      }
    }
    settle(records.length === 0 ? Promise.resolve() : this.#deps.producer.send(this.#topics.rawEvents, records));
    try {
      await sending;
      for (const { index, eventId } of ids) {
        this.#seen.set(eventId, true);
        results[index] = { index, event_id: eventId, status: 'accepted' };
      }
      this.#counters.accepted.inc(ids.length);
    } catch (error) {
      for (const { index, eventId } of ids) {
        this.#seen.delete(eventId);
        results[index] = failed(index, error);
      }
    }
    await Promise.all(others);
    return results;
  }

  async #repeat(results: BatchResult[], index: number, eventId: string, earlier: Fate): Promise<void> {
    try {
      await earlier;
      this.#counters.duplicates.inc();
      results[index] = { index, event_id: eventId, status: 'duplicate' };
    } catch (error) {
      results[index] = failed(index, error);
    }
  }

  async #reject(results: BatchResult[], index: number, text: string, error: unknown): Promise<void> {
    try {
      if (!(error instanceof InvalidEventError)) throw error;
      await this.#refuse(text, error);
      results[index] = { index, status: 'rejected', reason: error.message, fields: error.fields };
    } catch (failure) {
      results[index] = failed(index, failure);
    }
  }

  #validate(text: string): ValidEvent {
    return this.#deps.validate(parseJson(text), this.#deps.clock.now());
  }

  #recordOf(
    { key, fields, schemaVersion, isAsSent }: ValidEvent,
    text: string,
    traceparent: string | undefined,
  ): OutgoingRecord {
    const nowMs = this.#deps.clock.now();
    if (this.#enrichment.atMs !== nowMs) {
      const received = new Date(nowMs).toISOString();
      this.#enrichment = { atMs: nowMs, text: `"received_at":"${received}","source":"${SOURCE}","schema_version":` };
    }
    const added = `${this.#enrichment.text}${schemaVersion}}`;
    // What the client has written is kept as it is, where checking it has changed nothing.
    const own = isAsSent ? text : JSON.stringify(fields);
    const end = own.lastIndexOf('}');
    const record = { key, value: `${own.slice(0, end)},${added}` };
    return traceparent === undefined ? record : { ...record, headers: { [TRACEPARENT]: traceparent } };
  }

  async #refuse(payload: string, error: PlatformError, isCut = false): Promise<void> {
    this.#counters.rejected.inc({ reason: error.code });
    const letter: DeadLetter = {
      payload,
      reason: error.message,
      stage: 'gateway.validate',
      attempt: 1,
      timestamp: new Date(this.#deps.clock.now()).toISOString(),
      ...(isCut ? { isCut } : {}),
    };
    await this.#deadLetters.send({ value: JSON.stringify(letter) });
  }

  /** A body that was read and is too large. */
  async refuseLarge(body: string, maxBytes: number): Promise<BodyTooLargeError> {
    this.#counters.received.inc();
    const error = new BodyTooLargeError(maxBytes);
    const kept = body.slice(0, KEPT_OF_LARGE_BODY);
    await this.#refuse(`${kept}… (the first ${kept.length} of ${body.length} characters)`, error, true);
    return error;
  }

  /** A body that was not even read. */
  async refuseUnread(length: string | undefined, maxBytes: number): Promise<void> {
    this.#counters.received.inc();
    await this.#refuse(`(a body of ${length ?? 'unknown'} bytes was not read)`, new BodyTooLargeError(maxBytes), true);
  }
}

const failed = (index: number, error: unknown): BatchResult => ({
  index,
  status: 'failed',
  reason: `${messageOf(error)}; send this event again`,
});

function createCounters(registry: Registry) {
  const registers = [registry];
  return {
    received: new Counter({ name: 'events_received_total', help: 'Events that reached the gateway', registers }),
    accepted: new Counter({ name: 'events_accepted_total', help: 'Events made durable in the broker', registers }),
    duplicates: new Counter({ name: 'events_duplicate_total', help: 'Events whose id had been accepted', registers }),
    rejected: new Counter({
      name: 'events_rejected_total',
      help: 'Events refused, by error code',
      labelNames: ['reason'],
      registers,
    }),
  };
}
