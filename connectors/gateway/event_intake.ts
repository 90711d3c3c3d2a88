import { setImmediate as nextTurn } from 'node:timers/promises';
import type { OutgoingRecord, Producer } from '#connectors/connector';
import { messageOf, PlatformError } from '#kernel/errors';
import { decodeUtf8, InvalidJsonError } from '#kernel/exact/exact_json';
import { contentHashWithout } from '#kernel/hashes/content_hash';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';
import { TRACEPARENT } from '#monitoring/tracing';
import type { DeadLetterWriter } from '../dead_letters/dead_letter_writer.ts';
import { type DeadLetter, payloadOf } from '../dead_letters/dead_letters.ts';
import { refusedInHalves } from '../delivery.ts';
import { isRefusal } from '../failure_class.ts';
import type { BatchResult, Outcome } from './batch_answer.ts';
import { BodyTooLargeError, EventIdConflictError, InvalidEventError, RecordTooLargeError } from './errors.ts';
import { parseEvent, type ValidateEvent, type ValidEvent } from './events/event_validator.ts';
import { jsonOfFields } from './events/written_form.ts';
import { Generations } from './generations.ts';
import { SendQueue } from './send_queue.ts';

export interface IntakeTopics {
  readonly rawEvents: string;
  readonly deadLetters: string;
}

export interface IntakeDeps {
  readonly producer: Producer;
  /** Keeps payloads that the topic of dead letters does not take whole. */
  readonly deadLetters: Pick<DeadLetterWriter, 'shortened'>;
  readonly validate: ValidateEvent;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

export interface IntakeLimits {
  /** Event ids remembered for answering a repeated event: the newest, half of so many at least. */
  readonly rememberedIds: number;
  /** Largest record, bytes. */
  readonly maxRecordBytes: number;
}

/** An event in its plain form: its text, and headers that go along with its record. */
export interface Incoming {
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Makes the plain form of what came. @throws {@link InvalidEventError} */
export type ReadIncoming = (body: Buffer | string) => Incoming;

/** An id that was taken or is being taken. */
interface Remembered {
  readonly source: string;
  readonly userId: string | undefined;
  /** Of the content: another one under the same id is a conflict. */
  readonly content: number;
  /** Repetitions wait for the first one's fate; true: it is durable. */
  fate: true | Promise<unknown>;
  /** Why its record was refused after all. */
  refusal?: unknown;
}

/** An event on its way into a batch's send. */
interface Taking {
  readonly index: number;
  readonly eventId: string;
  readonly payload: string;
  readonly remembered: Remembered;
}

const SOURCE = 'gateway';
/** What a record takes beside key, value and headers, at most. */
const RECORD_OVERHEAD_BYTES = 100;
/** A UTF-16 code unit takes no more in UTF-8. */
const MOST_BYTES_OF_UNIT = 3;
/** Work on one batch gives way to other requests after so long, ms. */
const LONGEST_TURN_MS = 10;
const LOOK_AT_CLOCK_EVERY = 16;
/** Compared beside the content. */
const contentOf = contentHashWithout(['event_id', 'user_id']);

/**
 * Takes events in: checks them, drops repetitions, and answers once they are durable in the broker, not before. What is refused goes whole
 * to the dead letters, with the reason, before that is answered: nothing that came in is lost.
 */
export class EventIntake {
  readonly #deps: IntakeDeps;
  readonly #topics: IntakeTopics;
  readonly #maxRecordBytes: number;
  readonly #events: SendQueue;
  readonly #deadLetters: SendQueue;
  readonly #seen: Generations<Remembered>;
  /** Some ids are those of several users or sources: these are remembered under source, user and id. */
  #areIdsShared = false;
  readonly #counters: ReturnType<typeof createCounters>;
  #enrichment = { atMs: Number.NaN, text: '' };

  constructor(deps: IntakeDeps, topics: IntakeTopics, { rememberedIds, maxRecordBytes }: IntakeLimits) {
    this.#deps = deps;
    this.#topics = topics;
    this.#maxRecordBytes = maxRecordBytes;
    this.#events = new SendQueue(deps.producer, topics.rawEvents);
    this.#deadLetters = new SendQueue(deps.producer, topics.deadLetters);
    this.#seen = new Generations(rememberedIds);
    this.#counters = createCounters(deps.metrics);
  }

  /**
   * @param traceparent - of the request: goes along with the record
   * @throws {@link InvalidEventError}, {@link EventIdConflictError}, {@link RecordTooLargeError}; what the broker fails with
   */
  async take(
    body: Buffer | string,
    traceparent?: string,
    read: ReadIncoming = readPlain,
  ): Promise<{ readonly eventId: string; readonly outcome: Outcome }> {
    this.#counters.received.inc();
    let payload = body;
    try {
      const incoming = read(body);
      payload = incoming.text;
      return await this.#take(incoming, traceparent);
    } catch (error) {
      if (refusesEvent(error)) await this.#refuse(payload, error);
      throw error;
    }
  }

  async #take(incoming: Incoming, traceparent: string | undefined) {
    const event = this.#validate(incoming.text);
    const { eventId } = event;
    const content = contentOf(event.fields);
    const held = this.#seen.get(eventId);
    const earlier = this.#ofUser(event, held);
    if (earlier !== undefined) {
      await this.#repeated(earlier, content, eventId);
      return { eventId, outcome: 'duplicate' as const };
    }
    const sending = this.#events.send(this.#recordOf(event, incoming, traceparent));
    const remembered = this.#remember(event, held, {
      source: event.source,
      userId: event.userId,
      content,
      fate: sending,
    });
    try {
      await sending;
    } catch (error) {
      // Not taken: the client's next try must not be called a repetition.
      this.#forget(eventId, remembered);
      throw error;
    }
    remembered.fate = true;
    this.#counters.accepted.inc();
    return { eventId, outcome: 'accepted' as const };
  }

  /** A result for each event, in their order; never throws. Gives way to other requests now and then. */
  async takeAll(
    bodies: readonly (Buffer | string)[],
    traceparent?: string,
    read: ReadIncoming = readPlain,
  ): Promise<readonly BatchResult[]> {
    this.#counters.received.inc(bodies.length);
    const results = new Array<BatchResult>(bodies.length);
    const others: Promise<void>[] = [];
    const records: OutgoingRecord[] = [];
    const taken: Taking[] = [];
    let settle: (outcome: Promise<void>) => void = () => {};
    // Made before it is sent, so that repetitions within the batch can wait for it.
    const sending = new Promise<void>((resolve) => {
      settle = resolve;
    });
    let turnBeganMs = performance.now();
    for (let index = 0; index < bodies.length; index += 1) {
      let payload = bodies[index] as Buffer | string;
      try {
        const incoming = read(payload);
        payload = incoming.text;
        const event = this.#validate(incoming.text);
        const { eventId } = event;
        const content = contentOf(event.fields);
        const held = this.#seen.get(eventId);
        const earlier = this.#ofUser(event, held);
        if (earlier === undefined) {
          records.push(this.#recordOf(event, incoming, traceparent));
          const remembered = this.#remember(event, held, {
            source: event.source,
            userId: event.userId,
            content,
            fate: sending,
          });
          taken.push({ index, eventId, payload, remembered });
        } else {
          others.push(this.#repeat(results, index, eventId, { earlier, content, payload }));
        }
      } catch (error) {
        others.push(this.#reject(results, index, payload, error));
      }
      if (index % LOOK_AT_CLOCK_EVERY === 0 && performance.now() - turnBeganMs > LONGEST_TURN_MS) {
        await nextTurn();
        turnBeganMs = performance.now();
      }
    }
    settle(this.#sendAll(records, taken));
    try {
      await sending;
      for (const { index, eventId, payload, remembered } of taken) {
        const { refusal } = remembered;
        if (refusal === undefined) {
          remembered.fate = true;
          results[index] = { index, event_id: eventId, status: 'accepted' };
        } else {
          this.#forget(eventId, remembered);
          others.push(this.#reject(results, index, payload, refusal));
        }
      }
      this.#counters.accepted.inc(taken.filter(({ remembered }) => remembered.refusal === undefined).length);
    } catch (error) {
      for (const { index, eventId, remembered } of taken) {
        this.#forget(eventId, remembered);
        results[index] = failed(index, error);
      }
    }
    await Promise.all(others);
    return results;
  }

  async #sendAll(records: readonly OutgoingRecord[], taken: readonly Taking[]): Promise<void> {
    if (records.length === 0) return;
    const refused = await refusedInHalves(records, (part) => this.#deps.producer.send(this.#topics.rawEvents, part));
    for (const [at, refusal] of refused) (taken[at] as Taking).remembered.refusal = refusal;
  }

  /** @throws {@link EventIdConflictError} when it is not the event that was sent before; what the first one failed with */
  async #repeated(earlier: Remembered, content: number, eventId: string): Promise<void> {
    await earlier.fate;
    if (earlier.refusal !== undefined) throw earlier.refusal;
    if (earlier.content !== content) throw new EventIdConflictError(eventId);
    this.#counters.duplicates.inc();
  }

  async #repeat(
    results: BatchResult[],
    index: number,
    eventId: string,
    { earlier, content, payload }: { earlier: Remembered; content: number; payload: string },
  ): Promise<void> {
    try {
      await this.#repeated(earlier, content, eventId);
      results[index] = { index, event_id: eventId, status: 'duplicate' };
    } catch (error) {
      await this.#reject(results, index, payload, error);
    }
  }

  async #reject(results: BatchResult[], index: number, payload: Buffer | string, error: unknown): Promise<void> {
    try {
      if (!refusesEvent(error)) throw error;
      await this.#refuse(payload, error);
      const { code, message: reason } = error;
      const { httpStatus = 400, fields } = error as {
        readonly httpStatus?: number;
        fields?: InvalidEventError['fields'];
      };
      results[index] = { index, status: 'rejected', code, http_status: httpStatus, reason, ...(fields && { fields }) };
    } catch (failure) {
      results[index] = failed(index, failure);
    }
  }

  /** What is known of this user's id in this source. @param held - under the id alone: it may be another's */
  #ofUser({ source, userId, eventId }: ValidEvent, held: Remembered | undefined): Remembered | undefined {
    if (held !== undefined && held.userId === userId && held.source === source) return held;
    return this.#areIdsShared ? this.#seen.get(keyOf(source, userId, eventId)) : undefined;
  }

  /** Most ids are of one user and source: no other key is made then. */
  #remember({ source, userId, eventId }: ValidEvent, held: Remembered | undefined, remembered: Remembered): Remembered {
    if (held !== undefined) this.#areIdsShared = true;
    this.#seen.add(held === undefined ? eventId : keyOf(source, userId, eventId), remembered);
    return remembered;
  }

  /** Another event may have taken its place since. */
  #forget(eventId: string, remembered: Remembered): void {
    for (const key of [eventId, keyOf(remembered.source, remembered.userId, eventId)]) {
      if (this.#seen.get(key) === remembered) this.#seen.delete(key);
    }
  }

  /** @throws {@link InvalidEventError}, {@link RecordTooLargeError} */
  #validate(text: string): ValidEvent {
    // Not parsed in vain: it would be refused for its size.
    if (text.length > this.#maxRecordBytes) {
      throw new RecordTooLargeError(Buffer.byteLength(text), this.#maxRecordBytes);
    }
    return this.#deps.validate(parseEvent(text), this.#deps.clock.now());
  }

  /** @throws {@link RecordTooLargeError} */
  #recordOf(
    { key, written, schemaVersion, isAsSent, ownNames, receivedAtMs: nowMs }: ValidEvent,
    incoming: Incoming,
    traceparent: string | undefined,
  ): OutgoingRecord {
    if (this.#enrichment.atMs !== nowMs) {
      const received = new Date(nowMs).toISOString();
      this.#enrichment = { atMs: nowMs, text: `"received_at":"${received}","source":"${SOURCE}","schema_version":` };
    }
    const added =
      ownNames === undefined
        ? `${this.#enrichment.text}${schemaVersion}}`
        : addedBeside(ownNames, nowMs, schemaVersion);
    // What the client has written is kept as it is, where checking it has changed nothing.
    const own = isAsSent ? incoming.text : jsonOfFields(written);
    const end = own.lastIndexOf('}');
    const value = `${own.slice(0, end)}${added === '}' ? '' : ','}${added}`;
    const headers = traceparent === undefined ? incoming.headers : { ...incoming.headers, [TRACEPARENT]: traceparent };
    const record = headers === undefined ? { key, value } : { key, value, headers };
    this.#checkSize(record);
    return record;
  }

  /** @throws {@link RecordTooLargeError} */
  #checkSize(record: OutgoingRecord): void {
    const length = (record.value?.length ?? 0) + (record.key?.length ?? 0);
    const isSurelySmall = record.headers === undefined && length * MOST_BYTES_OF_UNIT < this.#maxRecordBytes / 2;
    if (isSurelySmall) return;
    const bytes = bytesOf(record);
    if (bytes > this.#maxRecordBytes) throw new RecordTooLargeError(bytes, this.#maxRecordBytes);
  }

  /** @param isPart - the payload is not what came, but a part or a description of it */
  async #refuse(payload: Buffer | string, error: PlatformError, isPart = false): Promise<void> {
    this.#counters.rejected.inc({ reason: error.code });
    const letter: DeadLetter = {
      ...(typeof payload === 'string' ? { payload } : payloadOf(payload)),
      reason: error.message,
      stage: 'gateway.validate',
      attempt: 1,
      timestamp: new Date(this.#deps.clock.now()).toISOString(),
      ...(isPart ? { isCut: true } : {}),
    };
    try {
      await this.#deadLetters.send({ value: await this.#fitting(letter) });
    } catch (failure) {
      if (!isRefusal(failure)) throw failure;
      // The client gets the reason for which its event was refused, whatever becomes of the copy.
      this.#deps.log.error({ error: failure, reason: error.message }, 'gateway.dead_letter_refused');
    }
  }

  /** A letter as JSON that the topic takes. */
  async #fitting(letter: DeadLetter): Promise<string> {
    const most = this.#maxRecordBytes - RECORD_OVERHEAD_BYTES;
    if (letter.payload.length <= most) {
      const whole = JSON.stringify(letter);
      if (Buffer.byteLength(whole) <= most) return whole;
    }
    return JSON.stringify(await this.#deps.deadLetters.shortened(letter));
  }

  /** A body that was read and is not taken, as a whole. */
  async refuseBody<E extends PlatformError>(body: Buffer, error: E): Promise<E> {
    this.#counters.received.inc();
    await this.#refuse(body, error);
    return error;
  }

  /** A body that was not even read. */
  async refuseUnread(length: string | undefined, maxBytes: number): Promise<void> {
    this.#counters.received.inc();
    await this.#refuse(`(a body of ${length ?? 'unknown'} bytes was not read)`, new BodyTooLargeError(maxBytes), true);
  }
}

/** What is wrong is the event, as the gateway or the broker sees it: sending it again does not help. */
const refusesEvent = (error: unknown): error is PlatformError => error instanceof PlatformError && isRefusal(error);

/** No id holds NUL: what does is refused before. */
const keyOf = (source: string, userId: string | undefined, eventId: string): string =>
  `${source}\0${userId ?? ''}\0${eventId}`;

/** @throws {@link InvalidEventError} for bytes that are not UTF-8 */
function readPlain(body: Buffer | string): Incoming {
  try {
    return { text: typeof body === 'string' ? body : decodeUtf8(body) };
  } catch (error) {
    throw error instanceof InvalidJsonError ? new InvalidEventError(error.fields) : error;
  }
}

/** What the gateway adds, but for names that are the event's own; with the closing brace. */
function addedBeside(ownNames: ReadonlySet<string>, nowMs: number, schemaVersion: number): string {
  const added = { received_at: new Date(nowMs).toISOString(), source: SOURCE, schema_version: schemaVersion };
  const left = Object.entries(added).filter(([name]) => !ownNames.has(name));
  return `${JSON.stringify(Object.fromEntries(left)).slice(1)}`;
}

function bytesOf({ key, value, headers = {} }: OutgoingRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + Buffer.byteLength(value ?? '') + Buffer.byteLength(key ?? '');
  for (const [name, text] of Object.entries(headers)) bytes += Buffer.byteLength(name) + Buffer.byteLength(text) + 10;
  return bytes;
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
