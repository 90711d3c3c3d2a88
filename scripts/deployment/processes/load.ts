import { once, setMaxListeners } from 'node:events';
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { messageOf } from '#kernel/errors';

const ACCOUNTS = 100;
const EVENTS_A_BATCH = 5;
/** Clients, each with one connection that it holds. */
const SENDERS = { ingest: 8, predict: 8 };
const BATCH_EVERY_MS = 800;
const PREDICTION_EVERY_MS = 200;
const ANSWER_WITHIN_MS = 20_000;
const FEATURES_WITHIN_MS = 60_000;

/** Where requests go, and what they carry. */
export interface Target {
  readonly gateway: string;
  readonly serving: string;
  readonly key: string;
}

/** Events and predictions, until it is stopped. A request whose connection was closed before its answer is sent once more, as a load balancer does, and counted. */
export class Load {
  /** Times of the accepted events of each account, ms. */
  readonly accepted = new Map<string, number[]>();
  readonly failures: string[] = [];
  readonly latenciesMs: number[] = [];
  events = 0;
  predictions = 0;
  /** Requests that were sent once more. */
  repeated = 0;
  readonly #target: Target;
  /** Events without id and time. */
  readonly #shapes = generateTransactions({ seed: 7, events: 2_000, accounts: ACCOUNTS, days: 1, endMs: Date.now() })
    .filter(({ arrival }) => arrival !== 'invalid')
    .map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  #sent = 0;
  #timeMs = 0;
  readonly #over = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  private constructor(target: Target) {
    this.#target = target;
    setMaxListeners(0, this.#over.signal);
  }

  /** Begins with an event of each account, and waits until each has features, which predictions need. */
  static async start(target: Target): Promise<Load> {
    const load = new Load(target);
    const agent = new Agent({ keepAlive: true });
    const first = new Map(load.#shapes.map((shape) => [String(shape.account_id), shape]));
    await load.#ingest(agent, [...first.values()]);
    const accounts = [...first.keys()];
    const giveUpAt = Date.now() + FEATURES_WITHIN_MS;
    for (const account of accounts) {
      while (
        !(await load.#predict(agent, account).then(
          () => true,
          () => false,
        ))
      ) {
        if (Date.now() > giveUpAt)
          throw new Error(`account ${account} has no features after ${FEATURES_WITHIN_MS / 1_000} s`);
        await sleep(100);
      }
    }
    agent.destroy();
    const senders = (count: number, everyMs: number, what: string, send: (agent: Agent) => Promise<void>) =>
      Array.from({ length: count }, () => load.#send(everyMs, what, send));
    load.#running = Promise.all([
      ...senders(SENDERS.ingest, BATCH_EVERY_MS, 'ingest', (held) => load.#ingest(held, load.#nextShapes())),
      ...senders(SENDERS.predict, PREDICTION_EVERY_MS, 'predict', (held) =>
        load.#predict(held, accounts[load.predictions % accounts.length] as string),
      ),
    ]);
    return load;
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
  }

  async #post(agent: Agent, url: string, type: string, body: string): Promise<unknown> {
    const send = () => post(agent, url, { 'content-type': type, 'x-api-key': this.#target.key }, body);
    const answer = await send().catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') throw error;
      this.repeated += 1;
      return send();
    });
    if (answer.status >= 300) throw new Error(`${answer.status} ${answer.text.slice(0, 200)}`);
    return JSON.parse(answer.text);
  }

  /** Sends one request after the other on a connection. */
  async #send(everyMs: number, what: string, send: (agent: Agent) => Promise<void>): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!this.#over.signal.aborted) {
      const at = new Date().toISOString().slice(11, 23);
      await send(agent).catch((error: unknown) => void this.failures.push(`${at} ${what}: ${messageOf(error)}`));
      await sleep(everyMs * (0.5 + Math.random()), undefined, { signal: this.#over.signal }).catch(() => {});
    }
    agent.destroy();
  }

  #nextShapes(): readonly Record<string, unknown>[] {
    return Array.from({ length: EVENTS_A_BATCH }, (_, at) => {
      return this.#shapes[(this.#sent + at) % this.#shapes.length] as Record<string, unknown>;
    });
  }

  async #ingest(agent: Agent, shapes: readonly Record<string, unknown>[]): Promise<void> {
    const events = shapes.map((shape) => {
      // Times do not repeat, so that each event has a row of its own.
      this.#timeMs = Math.max(this.#timeMs + 1, Date.now());
      const timestamp = new Date(this.#timeMs).toISOString();
      return { ...shape, account_id: String(shape.account_id), event_id: `rehearsed-${this.#sent++}`, timestamp };
    });
    const lines = events.map((event) => JSON.stringify(event)).join('\n');
    const answer = await this.#post(agent, `${this.#target.gateway}/ingest/batch`, 'application/x-ndjson', lines);
    const { results } = answer as { readonly results: readonly { readonly status: string }[] };
    for (const [at, { account_id: account, timestamp }] of events.entries()) {
      const status = results[at]?.status ?? 'not answered';
      if (!/^(accepted|duplicate)$/.test(status)) throw new Error(`an event is ${status}`);
      const times = this.accepted.get(account) ?? [];
      this.accepted.set(account, [...times, Date.parse(timestamp)]);
      this.events += 1;
    }
  }

  async #predict(agent: Agent, account: string): Promise<void> {
    const startedMs = performance.now();
    const body = JSON.stringify({ entity_id: account, model_name: 'fraud_detector' });
    await this.#post(agent, `${this.#target.serving}/predict`, 'application/json', body);
    this.predictions += 1;
    this.latenciesMs.push(performance.now() - startedMs);
  }
}

async function post(
  agent: Agent,
  url: string,
  headers: OutgoingHttpHeaders,
  body: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const sent = request(url, { method: 'POST', agent, headers, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, text: await text(answer) };
}
