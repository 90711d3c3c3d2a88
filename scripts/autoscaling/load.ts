import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#kernel/errors';
import { Transactions } from '#scripts/drills/traffic';

const CONNECTIONS = 8;
const ROWS_A_BATCH = 200;
const EVENTS_A_BATCH = 100;
const LOOK_MS = 2_000;
const READY_WITHIN_S = 180;
const UP_WITHIN_S = 180;
const DOWN_WITHIN_S = 240;
const STAYS_S = 20;
/** Of an event in a batch that is answered. */
const REFUSED = /"status":"(rejected|failed)"/;

/** A workload that requests keep busy, and the requests. */
export interface Load {
  readonly component: string;
  readonly kind: 'deployment' | 'statefulset';
  readonly args: readonly string[];
  readonly portVariable: string;
  readonly path: string;
  readonly contentType: string;
  body(): string;
}

const transactions = new Transactions('load');
const rows = JSON.stringify({
  model_name: 'fraud_detector',
  instances: Array.from({ length: ROWS_A_BATCH }, (_, at) => ({ amount: at, merchant_category: 'travel' })),
});

export const LOADS: readonly Load[] = [
  {
    ...{ component: 'serving', kind: 'deployment', args: ['start', '--role', 'serving'], portVariable: 'API_PORT' },
    ...{ path: '/predict/batch', contentType: 'application/json', body: () => rows },
  },
  {
    ...{ component: 'gateway', kind: 'statefulset', args: ['start', '--role', 'gateway'] },
    ...{ portVariable: 'GATEWAY_PORT', path: '/ingest/batch', contentType: 'application/x-ndjson' },
    body: () => Array.from({ length: EVENTS_A_BATCH }, () => JSON.stringify(transactions.next().body)).join('\n'),
  },
];

/** What is looked at while the load runs. */
export interface Watched {
  readonly urls: () => readonly string[];
  readonly cores: () => number;
  readonly replicas: () => Promise<number>;
  /** What the autoscaler says of itself. */
  readonly status: () => Promise<string>;
}

/**
 * Sends requests to all processes in turn, as the Service of the workload does, until there are more replicas for some time; then waits until there is one again.
 *
 * @returns replicas and cores over time
 * @throws Error when replicas do not follow
 */
export async function underLoad(load: Load, watched: Watched): Promise<string> {
  const startedMs = Date.now();
  const seconds = (): number => Math.round((Date.now() - startedMs) / 1_000);
  const seen: string[] = [];
  const counts = { answered: 0, failed: 0, firstFailure: '' };
  const answers = (): string =>
    `up to ${mostCores.toFixed(2)} cores, ${counts.answered} requests answered, ${counts.failed} not ${counts.firstFailure}`.trimEnd();
  let before = 0;
  let mostCores = 0;
  const until = async (limitS: number, what: string, holds: (replicas: number, ready: number) => boolean) => {
    for (const giveUpAt = Date.now() + limitS * 1_000; ; ) {
      const [replicas, ready, cores] = [await watched.replicas(), watched.urls().length, watched.cores()];
      mostCores = Math.max(mostCores, cores);
      if (replicas !== before) seen.push(`${replicas} at ${seconds()} s (${cores.toFixed(2)} cores)`);
      before = replicas;
      if (holds(replicas, ready)) return;
      if (Date.now() > giveUpAt) {
        const now = `${ready} ready, ${cores.toFixed(2)} cores`;
        throw new Error(
          `${what} not within ${limitS} s: ${seen.join(', ')}; ${answers()}; ${now}; ${await watched.status()}`,
        );
      }
      await sleep(LOOK_MS);
    }
  };
  await until(READY_WITHIN_S, 'one process is ready', (replicas, ready) => replicas === 1 && ready === 1);
  const ended = new AbortController();
  const send = async (request: number): Promise<void> => {
    const urls = watched.urls();
    const answer = await fetch(`${urls[request % urls.length]}${load.path}`, {
      ...{ method: 'POST', headers: { 'content-type': load.contentType }, body: load.body() },
    });
    const text = await answer.text();
    if (!answer.ok || REFUSED.test(text)) throw new Error(`${answer.status} ${text.slice(0, 500)}`);
    counts.answered += 1;
  };
  const sending = Array.from({ length: CONNECTIONS }, async (_, connection) => {
    for (let request = connection; !ended.signal.aborted; request += CONNECTIONS) {
      await send(request).catch(async (error) => {
        counts.failed += 1;
        counts.firstFailure ||= messageOf(error);
        await sleep(100);
      });
    }
  });
  let most = 0;
  try {
    await until(UP_WITHIN_S, 'more processes', (replicas, ready) => replicas > 1 && ready > 1);
    const staysUntil = Date.now() + STAYS_S * 1_000;
    await until(STAYS_S + 10, '', (_, ready) => {
      most = Math.max(most, ready);
      return Date.now() > staysUntil;
    });
  } finally {
    ended.abort();
    await Promise.all(sending);
  }
  seen.push(`no load after ${seconds()} s`);
  await until(DOWN_WITHIN_S, 'one process', (replicas, ready) => replicas === 1 && ready === 1);
  return `replicas ${seen.join(', ')}; up to ${most} processes; ${answers()}`;
}
