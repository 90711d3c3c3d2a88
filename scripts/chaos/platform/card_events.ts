import { setTimeout as sleep } from 'node:timers/promises';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { eventTime } from '#kernel/time';
import { NOTHING, type Outcome } from './outcome.ts';
import type { Random } from './random.ts';

const ACCOUNTS = 6;
const EVENTS_AN_ACCOUNT = 8;
/** An event counts as sent when it is accepted within so long; clients send again until then. */
const ACCEPTED_WITHIN_MS = 120_000;
const FOUND_WITHIN_MS = 120_000;
const PAGE = 1_000;
const FRAUD = { view: 'fraud', version: 1 };

export interface Stores {
  readonly online: Pick<OnlineStore, 'read'>;
  readonly offline: Pick<OfflineDatabase, 'features'>;
}

interface CardEvent {
  readonly event_id: string;
  readonly account_id: string;
  readonly timestamp: string;
}

/** Transactions of accounts of their own; each account's are in order. The last one of each counts all before it. */
export class CardEvents {
  readonly #prefix: string;
  readonly #beginMs: number;
  readonly #random: Random;
  readonly #expected = new Map<string, number[]>();
  #sent = 0;

  constructor(prefix: string, random: Random) {
    this.#prefix = prefix;
    this.#random = random;
    this.#beginMs = Date.now() - 20_000;
  }

  /** Sends events of every account, each until it is accepted, in batches of random sizes. */
  async send(gateway: () => string, share = 1): Promise<void> {
    const events: CardEvent[] = [];
    for (let turn = 0; turn < Math.round(EVENTS_AN_ACCOUNT * share); turn += 1) {
      for (let account = 0; account < ACCOUNTS; account += 1) events.push(this.#next(account));
    }
    for (let at = 0; at < events.length; ) {
      const some = events.slice(at, at + this.#random.between(1, 12));
      await sendUntilAccepted(gateway, some);
      for (const { account_id: account, timestamp } of some) {
        const times = this.#expected.get(account) ?? [];
        this.#expected.set(account, [...times, Date.parse(timestamp)]);
      }
      at += some.length;
    }
  }

  #next(account: number): CardEvent {
    const id = `${this.#prefix}-${this.#sent++}`;
    const timestamp = new Date(this.#beginMs + this.#sent * 7).toISOString();
    return {
      ...{ event_id: id, account_id: `${this.#prefix}-a${account}`, timestamp, user_id: `${this.#prefix}-u${account}` },
      ...{ event_type: 'transaction', amount: 10, currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery' },
      ...{ country: 'DE' },
    } as CardEvent;
  }

  get accepted(): number {
    return [...this.#expected.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Waits until both stores have everything that was accepted, each once, and says what they have. */
  async look(stores: Stores): Promise<Outcome> {
    let outcome = NOTHING;
    for (const giveUpAt = Date.now() + FOUND_WITHIN_MS; ; ) {
      try {
        outcome = await this.#lookOnce(stores);
      } catch (error) {
        // A store that is only just coming back.
        if (Date.now() > giveUpAt) throw error;
        await sleep(200);
        continue;
      }
      if (outcome.lost === 0 || Date.now() > giveUpAt) return outcome;
      await sleep(150);
    }
  }

  async #lookOnce({ online, offline }: Stores): Promise<Outcome> {
    const accounts = [...this.#expected];
    const keys = accounts.map(([account]) => `account:${account}` as EntityKey);
    const newest = await online.read(FRAUD, keys);
    const history = await this.#history(offline);
    let [found, lost, doubled] = [0, 0, 0];
    const problems: string[] = [];
    for (const [at, [account, times]] of accounts.entries()) {
      const row = newest[at];
      // The newest row counts every event of its account: what is missing there was not counted, what is too much was counted twice.
      const isNewest = row?.eventTime === times.at(-1);
      const countOnline = isNewest ? Number(row?.values.count_7d) : 0;
      const rows = history.get(`account:${account}`) ?? new Map<number, number>();
      const missing = times.filter((time) => !rows.has(time)).length;
      const countOffline = rows.get(times.at(-1) as number) ?? 0;
      const counts = [countOnline, countOffline];
      const lostHere = Math.max(missing, ...counts.map((count) => times.length - count), 0);
      const doubledHere = Math.max(...counts.map((count) => count - times.length), rows.size - times.length, 0);
      lost += lostHere;
      doubled += doubledHere;
      found += times.length - Math.min(lostHere, times.length);
      if (lostHere > 0 || doubledHere > 0) {
        const online =
          row === undefined
            ? 'no row'
            : `a row of ${new Date(row.eventTime).toISOString()}, ${row.values.count_7d} events`;
        problems.push(
          `${account}: ${times.length} events accepted; online store: ${online}; offline store: ${rows.size} rows, the newest counts ${countOffline}`,
        );
      }
    }
    return { ...NOTHING, accepted: this.accepted, found, lost, doubled, problems: problems.slice(0, 2) };
  }

  /** By entity: the counts of its rows, by event time. */
  async #history(offline: Stores['offline']): Promise<ReadonlyMap<string, ReadonlyMap<number, number>>> {
    const range = { from: eventTime(this.#beginMs), to: eventTime(this.#beginMs + 60_000) };
    const found = new Map<string, Map<number, number>>();
    for (let after: FeatureRow | undefined; ; ) {
      const rows = await offline.features.rowsBetween(FRAUD, range, { limit: PAGE, after });
      for (const { entityKey, eventTime: at, values } of rows) {
        const times = found.get(entityKey) ?? new Map<number, number>();
        found.set(entityKey, times.set(at, Number(values.count_7d)));
      }
      if (rows.length < PAGE) return found;
      after = rows.at(-1);
    }
  }
}

/** As a client does it: what was not accepted is sent again, in its order. */
async function sendUntilAccepted(gateway: () => string, events: readonly CardEvent[]): Promise<void> {
  let left = events;
  let last = '';
  for (const giveUpAt = Date.now() + ACCEPTED_WITHIN_MS; left.length > 0; ) {
    if (Date.now() > giveUpAt)
      throw new Error(`the gateway has not accepted ${left[0]?.event_id} for ${ACCEPTED_WITHIN_MS} ms: ${last}`);
    const statuses = await fetch(`${gateway()}/ingest/batch`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/x-ndjson' } },
      body: left.map((event) => JSON.stringify(event)).join('\n'),
      signal: AbortSignal.timeout(10_000),
    })
      .then(async (answer) => {
        last = await answer.text();
        return (JSON.parse(last) as { results?: { status: string }[] }).results ?? [];
      })
      .catch((error: Error) => {
        last = error.message;
        return [];
      });
    const isIn = (index: number): boolean => /accepted|duplicate/.test(statuses[index]?.status ?? '');
    // What follows the first that is not in is sent again as well, so that an account's events stay in order.
    const first = left.findIndex((_, index) => !isIn(index));
    left = first < 0 ? [] : left.slice(first);
    if (left.length > 0) await sleep(50);
  }
}
