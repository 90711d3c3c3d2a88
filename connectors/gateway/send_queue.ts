import type { OutgoingRecord, Producer } from '#connectors/connector';
import { refusedInHalves } from '../delivery.ts';

interface Waiting {
  readonly record: OutgoingRecord;
  resolve(): void;
  reject(error: unknown): void;
}

/** Most records in one send. */
const LARGEST_SEND = 1_000;
/** Most of their characters; one record may have more. */
const LARGEST_SEND_LENGTH = 8 * 1_024 * 1_024;
/** Sends under way at once. */
const MAX_IN_FLIGHT = 4;
/** As long as every turn of the event loop brings more, a send waits for it, so many turns at most. */
const MOST_TURNS = 16;

/**
 * Puts records of many requests into one send: it goes out after the first turn of the event loop that brings no more of them, and what
 * comes while sends are under way waits for the next. Never waits for a timer: a lone record goes out a turn after it came, and under
 * load a broker is asked a few times a millisecond less, which costs it more than the records do.
 */
export class SendQueue {
  readonly #producer: Producer;
  readonly #topic: string;
  #waiting: Waiting[] = [];
  #scheduled = false;
  #inFlight = 0;

  constructor(producer: Producer, topic: string) {
    this.#producer = producer;
    this.#topic = topic;
  }

  /** Resolves when the record is durable. */
  send(record: OutgoingRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= MAX_IN_FLIGHT) return;
    this.#scheduled = true;
    this.#gather(0, MOST_TURNS);
  }

  #gather(before: number, turnsLeft: number): void {
    setImmediate(() => {
      const { length } = this.#waiting;
      if (length > before && length < LARGEST_SEND && turnsLeft > 0) {
        this.#gather(length, turnsLeft - 1);
        return;
      }
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const batch = this.#waiting.splice(0, this.#fitting());
    if (batch.length === 0) return;
    this.#inFlight += 1;
    refusedInHalves(
      batch.map(({ record }) => record),
      (part) => this.#producer.send(this.#topic, part),
    )
      .then(
        (refused) => {
          for (const [at, { resolve, reject }] of batch.entries()) {
            const refusal = refused.get(at);
            if (refusal === undefined) resolve();
            else reject(refusal);
          }
        },
        (error: unknown) => {
          for (const { reject } of batch) reject(error);
        },
      )
      .finally(() => {
        this.#inFlight -= 1;
        if (this.#waiting.length > 0) this.#schedule();
      });
    if (this.#waiting.length > 0) this.#schedule();
  }

  /** How many of the waiting records go into the next send. */
  #fitting(): number {
    let length = 0;
    const most = Math.min(this.#waiting.length, LARGEST_SEND);
    for (let count = 0; count < most; count += 1) {
      length += this.#waiting[count]?.record.value?.length ?? 0;
      if (length > LARGEST_SEND_LENGTH) return Math.max(1, count);
    }
    return most;
  }
}
