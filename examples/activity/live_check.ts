import { setTimeout as sleep } from 'node:timers/promises';
import type { PlatformUrls } from 'headwater/testing';

/** Where a platform that nothing was configured for listens. */
export const USUAL_URLS: PlatformUrls = {
  gateway: 'http://localhost:8080',
  pipeline: 'http://localhost:8082',
  features: 'http://localhost:8083',
  serving: 'http://localhost:8000',
  monitor: 'http://localhost:8084',
};

/** What came of one category. */
export interface Outcome {
  readonly category: string;
  readonly passed: boolean;
  /** What was seen, or what is wrong. */
  readonly detail: string;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

type Features = Readonly<Record<string, { readonly value: unknown }>>;

interface Historical {
  readonly columns: readonly { readonly name: string; readonly values: readonly unknown[] }[];
}

interface Context {
  readonly urls: PlatformUrls;
  /** A user of this check alone. */
  readonly user: string;
  readonly waitMs: number;
}

const EVENTS = 50;
const FEWEST_FEATURES = 15;
const MOST_P95_MS = 100;
const READINGS = 40;
const POLL_MS = 50;

/**
 * Checks a running platform of this project by twelve categories, with 50 clicks of a user of its own.
 *
 * @param waitMs - how long the clicks may take to become features
 */
export async function checkActivity(urls: PlatformUrls, waitMs = 20_000): Promise<readonly Outcome[]> {
  const context: Context = { urls, user: `check-${Date.now()}`, waitMs };
  const outcomes: Outcome[] = [];
  for (const [category, check] of Object.entries(CATEGORIES)) {
    outcomes.push(
      await check(context).then(
        (detail) => ({ category, passed: true, detail }),
        (error: unknown) => ({
          category,
          passed: false,
          detail: error instanceof Error ? error.message : String(error),
        }),
      ),
    );
  }
  return outcomes;
}

/** Returns an outcome as a line. */
export const lineOf = ({ category, passed, detail }: Outcome): string =>
  `${passed ? 'PASS' : 'FAIL'}  ${category.padEnd(22)} ${detail}`;

const CATEGORIES: Readonly<Record<string, (context: Context) => Promise<string>>> = {
  async 'service health'({ urls }) {
    for (const url of Object.values(urls)) await get(url, '/health/ready');
    return `${Object.keys(urls).length} services are ready`;
  },
  async 'feature configuration'({ urls }) {
    const { views } = await get<{ views: readonly { id: string; features: readonly unknown[] }[] }>(
      urls.features,
      '/views',
    );
    const sizes = ['user_activity@1', 'user_activity@2'].map((id) => {
      const { features = [] } = views.find((view) => view.id === id) ?? {};
      return expect(features.length >= FEWEST_FEATURES, `${id} has ${features.length} features`);
    });
    return sizes.join(', ');
  },
  async 'API health'({ urls }) {
    const { gateway, features, serving } = urls;
    for (const url of [gateway, features, serving]) await get(url, '/openapi.json');
    return 'gateway, feature API and serving describe their routes';
  },
  async 'event ingestion'({ urls, user }) {
    const events = clicksOf(user);
    const accepted = statuses(await post(urls.gateway, '/ingest/batch', events));
    const repeated = statuses(await post(urls.gateway, '/ingest/batch', events.slice(0, 1)));
    return expect(
      accepted.every((status) => status === 'accepted') && repeated[0] === 'duplicate',
      `${accepted.length} events are ${accepted[0]}, one that is repeated is a ${repeated[0]}`,
    );
  },
  async 'feature computation'({ urls, user, waitMs }) {
    const giveUpAt = performance.now() + waitMs;
    let features: Features = {};
    do {
      await sleep(POLL_MS);
      const { status, text } = await ask(urls.features, `/features/${user}?view=user_activity@2`);
      if (status === 200) ({ features } = JSON.parse(text) as { features: Features });
    } while (features.activity_count_1h?.value !== EVENTS && performance.now() < giveUpAt);
    return expect(
      features.activity_count_1h?.value === EVENTS && Object.keys(features).length >= FEWEST_FEATURES,
      `${Object.keys(features).length} features, activity_count_1h is ${features.activity_count_1h?.value}`,
    );
  },
  async 'A/B testing'({ urls, user }) {
    const variants = await Promise.all([1, 2, 3].map(() => predict(urls, user)));
    const { features } = await get<{ features: Features }>(urls.features, `/features/${user}?view=user_activity@2`);
    const group = String(features.ab_variant?.value);
    return expect(
      new Set(variants).size === 1 && variants[0] !== undefined && /^[AB]$/.test(group),
      `the model's variant is ${[...new Set(variants)].join(', ')}, the feature ab_variant ${group}`,
    );
  },
  async 'drift detection'({ urls }) {
    const { reports } = await get<{ reports: readonly unknown[] }>(urls.serving, '/console/api/drift');
    await metric(urls.monitor, 'monitored_rows');
    return `the monitor is at work; ${reports.length} reports`;
  },
  async database({ urls, user, waitMs }) {
    const body = { service: 'user_activity@2', rows: [{ entity: user, timestamp: new Date().toISOString() }] };
    const giveUpAt = performance.now() + waitMs;
    let count: unknown;
    do {
      const { columns } = await post<Historical>(urls.features, '/features/historical', body);
      count = columns.find(({ name }) => name === 'activity_count_1h')?.values[0];
      await sleep(POLL_MS);
    } while (count !== EVENTS && performance.now() < giveUpAt);
    return expect(count === EVENTS, `the history holds ${count} events of the user`);
  },
  async 'online store and cache'({ urls, user }) {
    const before = await metric(urls.features, 'cache_hits_total');
    for (let reading = 0; reading < 2; reading += 1) await get(urls.features, `/features/${user}`);
    const hits = (await metric(urls.features, 'cache_hits_total')) - before;
    return expect(hits > 0, `${hits} rows of two readings came from the cache`);
  },
  async topics({ urls, waitMs }) {
    const giveUpAt = performance.now() + waitMs;
    let pipelines: readonly { name: string; lag: number }[] = [];
    do {
      ({ pipelines } = await get<{ pipelines: typeof pipelines }>(urls.serving, '/console/api/pipelines'));
      await sleep(POLL_MS);
    } while (pipelines.some(({ lag }) => lag > 0) && performance.now() < giveUpAt);
    return expect(
      pipelines.length > 0 && pipelines.every(({ lag }) => lag === 0),
      pipelines.map(({ name, lag }) => `${name}: lag ${lag}`).join(', '),
    );
  },
  async 'performance metrics'({ urls, user }) {
    for (const url of Object.values(urls)) await metric(url, 'http_requests_total');
    const latencies: number[] = [];
    for (let reading = 0; reading < READINGS; reading += 1) {
      const startedMs = performance.now();
      await get(urls.features, `/features/${user}`);
      latencies.push(performance.now() - startedMs);
    }
    const p95 = latencies.sort((a, b) => a - b)[Math.ceil(0.95 * READINGS) - 1] as number;
    return expect(p95 < MOST_P95_MS, `95 of 100 readings take at most ${p95.toFixed(1)} ms`);
  },
  async 'refused events'({ urls, user }) {
    const [click] = clicksOf(`${user}-refused`);
    const { status, text } = await ask(urls.gateway, '/ingest', { ...click, amount: 'twelve' });
    return expect(status === 400 && text.includes('amount'), `an event with a wrong field is answered ${status}`);
  },
};

const clicksOf = (user: string): readonly object[] =>
  Array.from({ length: EVENTS }, (_, at) => ({
    ...{ event_id: `${user}-${at}`, user_id: user, event_type: 'click', device_type: 'mobile' },
    ...{ product_id: `p${at % 7}`, timestamp: new Date(Date.now() - (EVENTS - at) * 1_000).toISOString() },
  }));

const statuses = (answer: unknown): readonly string[] =>
  (answer as { results: readonly { status: string }[] }).results.map(({ status }) => status);

async function predict(urls: PlatformUrls, user: string): Promise<string> {
  const body = { model_name: 'churn', entity_id: user };
  return (await post<{ variant: string }>(urls.serving, '/predict', body)).variant;
}

/** Returns the sum of a metric's values. @throws {Error} where a service does not expose it */
async function metric(url: string, name: string): Promise<number> {
  const { text } = await ask(url, '/metrics');
  expect(text.includes(`# TYPE ${name} `), `${url} exposes no ${name}`);
  const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** A part that answers later is not at work. */
const ANSWER_MS = 10_000;

/** @throws {Error} with the detail, where it does not hold */
function expect(holds: boolean, detail: string): string {
  if (!holds) throw new Error(detail);
  return detail;
}

const get = async <T>(url: string, path: string): Promise<T> => parsed(`${url}${path}`, await ask(url, path));
const post = async <T>(url: string, path: string, body: unknown): Promise<T> =>
  parsed(`${url}${path}`, await ask(url, path, body));

function parsed<T>(url: string, { status, text }: Answer): T {
  expect(status >= 200 && status < 300, `${url} answers ${status}: ${text.slice(0, 200)}`);
  return JSON.parse(text) as T;
}

async function ask(url: string, path: string, body?: unknown): Promise<Answer> {
  const given = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(`${url}${path}`, body === undefined ? { signal } : { ...given, signal });
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    const { message, cause } = error as Error;
    throw new Error(`${url}${path}: ${cause instanceof Error ? cause.message : message}`, { cause: error });
  }
}
