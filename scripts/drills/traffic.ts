import { setTimeout as sleep } from 'node:timers/promises';
import { withBroker } from '#cli/parts/with_broker';
import { loadSettings } from '#cli/project/project';
import { recordsOfTopic } from '#connectors/records/topic_records';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import type { Region } from './region.ts';

const EVENTS_A_BATCH = 20;
const BATCH_EVERY_MS = 100;
const ACCOUNTS = 200;
const CATCH_UP_MS = 120_000;
const LOOK_MS = 5_000;

export interface Event {
  readonly id: string;
  readonly account: string;
  readonly timeMs: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Accepted extends Event {
  readonly acceptedMs: number;
}

/** Transactions of the fraud example with ids and times of now; times do not repeat, so that each has a row of its own. Events of an account have one key, so that they stay in order. */
export class Transactions {
  readonly #shapes = generateTransactions({ seed: 1, events: 5_000, accounts: ACCOUNTS, days: 1, endMs: Date.now() })
    .filter(({ arrival }) => arrival !== 'invalid')
    .map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  readonly #prefix: string;
  #made = 0;
  #timeMs = 0;

  constructor(prefix = 'drill') {
    this.#prefix = prefix;
  }

  next(of?: string): Event {
    const shape = this.#shapes[this.#made % this.#shapes.length] as Record<string, unknown>;
    this.#timeMs = Math.max(this.#timeMs + 1, Date.now());
    const [id, account] = [`${this.#prefix}-${this.#made++}`, of ?? String(shape.account_id)];
    const timestamp = new Date(this.#timeMs).toISOString();
    const body = { ...shape, user_id: account, account_id: account, event_id: id, timestamp };
    return { id, account, timeMs: this.#timeMs, body };
  }
}

/** Posts events. @returns those that were accepted, now or before; `undefined` where no answer came */
export async function post(port: number, events: readonly Event[]): Promise<readonly Accepted[] | undefined> {
  const results = await fetch(`http://127.0.0.1:${port}/ingest/batch`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/x-ndjson' } },
    body: events.map(({ body }) => JSON.stringify(body)).join('\n'),
    signal: AbortSignal.timeout(10_000),
  })
    .then(async (answer) => ((await answer.json()) as { results?: { status: string }[] }).results ?? [])
    .catch(() => undefined);
  const acceptedMs = Date.now();
  return results === undefined
    ? undefined
    : events.flatMap((event, at) =>
        /^(accepted|duplicate)$/.test(results[at]?.status ?? '') ? { ...event, acceptedMs } : [],
      );
}

/**
 * Sends batches of events until it is aborted.
 *
 * @param send - what is done with a batch
 * @param prefix - of the events' ids
 */
export async function sendEvents(
  signal: AbortSignal,
  send: (events: readonly Event[]) => Promise<unknown>,
  prefix?: string,
): Promise<void> {
  const transactions = new Transactions(prefix);
  while (!signal.aborted) {
    await send(Array.from({ length: EVENTS_A_BATCH }, () => transactions.next()));
    await sleep(BATCH_EVERY_MS);
  }
}

/** Returns the ids of the events that the topic of raw events has, with how often it has each. */
export async function recordedEvents({ env }: Region): Promise<ReadonlyMap<string, number>> {
  const ids = new Map<string, number>();
  await withBroker(loadSettings(env), async (broker, { topics }) => {
    for await (const records of recordsOfTopic(broker, topics.rawEvents)) {
      for (const { value } of records) {
        const { event_id: id } = JSON.parse(value.toString()) as { event_id: string };
        ids.set(id, (ids.get(id) ?? 0) + 1);
      }
    }
  });
  return ids;
}

/** A row of features: its values as JSON by account and time. */
export type Rows = ReadonlyMap<string, string>;
export const rowKey = ({ account, timeMs }: Pick<Event, 'account' | 'timeMs'>): string => `${account} ${timeMs}`;

export async function featureRows(region: Region): Promise<Rows> {
  const rows = await region.sql<{ readonly entity_key: EntityKey; readonly at: string; readonly values: string }>(
    `SELECT entity_key, (extract(epoch FROM event_time) * 1000)::bigint::text AS at, "values"::text AS values FROM feature_rows WHERE view = 'fraud' AND version = 1`,
  );
  return new Map(rows.map(({ entity_key: entity, at, values }) => [`${idOf(entity)} ${at}`, values]));
}

/** Returns the time of the newest row that an event has made, ms since the epoch; 0 without one. */
export async function newestRowMs(region: Region): Promise<number> {
  const [row] = await region.sql<{ readonly at: string | null }>(
    `SELECT (extract(epoch FROM max(event_time)) * 1000)::bigint::text AS at FROM feature_rows WHERE view = 'fraud' AND event_time <= now()`,
  );
  return Number(row?.at ?? 0);
}

/** Waits until each event has its row, or no more rows come for some time. @returns the events without one */
export async function eventsWithoutRow<E extends Event>(
  region: Region,
  events: readonly E[],
  unchangedMs = LOOK_MS,
): Promise<readonly E[]> {
  const giveUpAt = Date.now() + CATCH_UP_MS;
  let before = { count: -1, sinceMs: Date.now() };
  for (;;) {
    const rows = await featureRows(region);
    const missing = events.filter((event) => !rows.has(rowKey(event)));
    if (missing.length !== before.count) before = { count: missing.length, sinceMs: Date.now() };
    else if (Date.now() - before.sinceMs >= unchangedMs) return missing;
    if (missing.length === 0 || Date.now() > giveUpAt) return missing;
    await sleep(LOOK_MS);
  }
}
