import { setTimeout as sleep } from 'node:timers/promises';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { messageOf } from '#kernel/errors';

const ACCOUNTS = 100;
const EVENTS_A_BATCH = 10;
const BATCH_EVERY_MS = 200;
const PREDICTION_EVERY_MS = 50;
const ANSWER_WITHIN_MS = 20_000;

/** Where requests go, and what they carry. */
export interface Target {
  readonly gateway: string;
  readonly serving: string;
  readonly key: string;
}

/** Events and predictions, until it is stopped. Requests are sent once: one that fails is counted, and nothing hides it. */
export class Load {
  /** Times of the accepted events of each account, ms. */
  readonly accepted = new Map<string, number[]>();
  readonly failures: string[] = [];
  readonly latenciesMs: number[] = [];
  events = 0;
  predictions = 0;
  readonly #target: Target;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;

  constructor(target: Target) {
    this.#target = target;
    this.#running = Promise.all([this.#ingest(), this.#predict()]).then(() => {});
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
  }

  async #post(url: string, type: string, body: string): Promise<unknown> {
    const answer = await fetch(url, {
      ...{ method: 'POST', headers: { 'content-type': type, 'x-api-key': this.#target.key }, body },
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${answer.status} ${text.slice(0, 200)}`);
    return JSON.parse(text);
  }

  /** Sends on the beat, whether or not answers have come. */
  async #send(everyMs: number, what: string, send: (turn: number) => Promise<void>): Promise<void> {
    const sending = new Set<Promise<void>>();
    for (let turn = 0; !this.#over.signal.aborted; turn += 1) {
      const at = new Date().toISOString().slice(11, 23);
      const sent = send(turn)
        .catch((error: unknown) => {
          const { cause } = error as Error;
          this.failures.push(`${at} ${what}: ${messageOf(error)}${cause === undefined ? '' : `: ${messageOf(cause)}`}`);
        })
        .finally(() => sending.delete(sent));
      sending.add(sent);
      await sleep(everyMs, undefined, { signal: this.#over.signal }).catch(() => {});
    }
    await Promise.all(sending);
  }

  #ingest(): Promise<void> {
    const shapes = generateTransactions({ seed: 7, events: 2_000, accounts: ACCOUNTS, days: 1, endMs: Date.now() })
      .filter(({ arrival }) => arrival !== 'invalid')
      .map(({ body }) => JSON.parse(body) as Record<string, unknown>);
    let timeMs = 0;
    return this.#send(BATCH_EVERY_MS, 'ingest', async (turn) => {
      const events = Array.from({ length: EVENTS_A_BATCH }, (_, at) => {
        const number = turn * EVENTS_A_BATCH + at;
        // Times do not repeat, so that each event has a row of its own.
        timeMs = Math.max(timeMs + 1, Date.now());
        const shape = shapes[number % shapes.length];
        return { ...shape, event_id: `rehearsed-${number}`, timestamp: new Date(timeMs).toISOString() };
      });
      const lines = events.map((event) => JSON.stringify(event)).join('\n');
      const answer = await this.#post(`${this.#target.gateway}/ingest/batch`, 'application/x-ndjson', lines);
      const { results } = answer as { readonly results: readonly { readonly status: string }[] };
      for (const [at, event] of events.entries()) {
        if (results[at]?.status !== 'accepted') throw new Error(`an event is ${results[at]?.status}`);
        const { account_id: account, timestamp } = event as typeof event & { readonly account_id?: unknown };
        const times = this.accepted.get(String(account)) ?? [];
        this.accepted.set(String(account), [...times, Date.parse(timestamp)]);
        this.events += 1;
      }
    });
  }

  #predict(): Promise<void> {
    return this.#send(PREDICTION_EVERY_MS, 'predict', async (turn) => {
      const startedMs = performance.now();
      const [account] = [...this.accepted.keys()].slice(turn % Math.max(1, this.accepted.size));
      if (account === undefined) return;
      const body = JSON.stringify({ entity_id: account, model_name: 'fraud_detector' });
      await this.#post(`${this.#target.serving}/predict`, 'application/json', body);
      this.predictions += 1;
      this.latenciesMs.push(performance.now() - startedMs);
    });
  }
}
