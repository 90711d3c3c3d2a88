import type { Service } from '#kernel/lifecycle';
import { type Clock, DAY_MS, SECOND_MS } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { FigureStore, Figures } from '#serving/console/figures';
import type { MetricReader, MetricValue } from './metric_reader.ts';
import type { OwnAlerts } from './own_alerts.ts';

const EVERY_MS = 15 * SECOND_MS;
const KEPT_MS = 3 * DAY_MS;
/** One in so many samples removes what is too old. */
const SAMPLES_A_CLEANING = 240;
const TAIL = 0.95;

/** Counters and buckets at one time. */
type Totals = Readonly<Record<'events' | 'failed' | 'late' | 'predictions' | 'requests' | 'errors', number>> & {
  readonly freshness: Buckets;
  readonly latency: Buckets;
};
/** Observations of at most so many seconds, by bound. */
type Buckets = ReadonlyMap<number, number>;

/** Measures the console's figures at an interval, and keeps them for three days. */
export class FigureSampler implements Service {
  readonly name = 'figures of the console';
  readonly #metrics: MetricReader;
  readonly #store: FigureStore;
  readonly #alerts: OwnAlerts | undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  #before: { readonly atMs: number; readonly totals: Totals } | undefined;
  #newest: Figures | undefined;
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> | undefined;
  #samples = 0;

  /** @param alerts - looked at each time; undefined: another system judges them */
  constructor(deps: {
    readonly metrics: MetricReader;
    readonly store: FigureStore;
    readonly alerts: OwnAlerts | undefined;
    readonly clock: Clock;
    readonly log: Logger;
  }) {
    this.#metrics = deps.metrics;
    this.#store = deps.store;
    this.#alerts = deps.alerts;
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: 'console' });
  }

  /** Of the last interval; undefined before the first has ended. */
  get newest(): Figures | undefined {
    return this.#newest;
  }

  async start(): Promise<void> {
    void this.#run();
    this.#timer = setInterval(() => void this.#run(), EVERY_MS);
    this.#timer.unref();
  }

  /** Measures once; called by the timer. */
  async sample(): Promise<void> {
    const atMs = Math.floor(this.#clock.now() / EVERY_MS) * EVERY_MS;
    await this.#alerts?.look();
    const totals = await this.#totals();
    const before = this.#before;
    const nowMs = this.#clock.now();
    this.#before = { atMs: nowMs, totals };
    if (before === undefined || nowMs <= before.atMs) return;
    const waiting = await this.#sum('source_lag_records', ['pipeline', 'monitor']);
    this.#newest = { ...figuresBetween(before.totals, totals, nowMs - before.atMs), waiting };
    await this.#store.write({ atMs, figures: this.#newest });
    this.#samples += 1;
    if (this.#samples % SAMPLES_A_CLEANING === 1) await this.#store.deleteBefore(nowMs - KEPT_MS);
  }

  async drain(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#underWay;
  }

  stop(): Promise<void> {
    return this.drain();
  }

  /** A store or Prometheus that is away leaves a gap in the history, and no more. */
  async #run(): Promise<void> {
    if (this.#underWay !== undefined) return;
    this.#underWay = this.sample()
      .catch((error: unknown) => this.#log.warn({ error }, 'figures.not_measured'))
      .finally(() => {
        this.#underWay = undefined;
      });
    await this.#underWay;
  }

  async #totals(): Promise<Totals> {
    const { read } = this.#metrics;
    const requests = (await read('http_requests_total', 'serving')).filter(isOfCallers);
    return {
      events: await this.#sum('events_processed_total', ['pipeline']),
      failed: await this.#sum('events_failed_total', ['pipeline']),
      late: await this.#sum('pipeline_late_events_total', ['pipeline']),
      predictions: await this.#sum('predictions_total', ['serving']),
      requests: total(requests),
      errors: total(requests.filter(({ labels }) => labels.status?.startsWith('5'))),
      freshness: bucketsOf(await read('pipeline_end_to_end_seconds_bucket', 'pipeline')),
      latency: bucketsOf(await read('prediction_latency_seconds_bucket', 'serving')),
    };
  }

  /** Without Prometheus one process has the metrics of every job, and they are read once. */
  async #sum(name: string, jobs: readonly string[]): Promise<number> {
    const each = await Promise.all(
      jobs.slice(0, this.#metrics.hasJobs ? undefined : 1).map((job) => this.#metrics.read(name, job)),
    );
    return total(each.flat());
  }
}

const total = (values: readonly MetricValue[]): number =>
  values.reduce((sum, { value }) => sum + (Number.isFinite(value) ? value : 0), 0);

/** Requests of probes, of scrapes and of the console itself say nothing about callers. */
const isOfCallers = ({ labels: { service = 'serving', route = '' } }: MetricValue): boolean =>
  service === 'serving' && !/^\/(health|metrics|ping|console|docs|openapi)/.test(route);

function bucketsOf(values: readonly MetricValue[]): Buckets {
  const buckets = new Map<number, number>();
  for (const { labels, value } of values) {
    const bound = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  return buckets;
}

/** Returns what was between two looks; a counter that became smaller began anew. */
export function figuresBetween(before: Totals, after: Totals, elapsedMs: number): Omit<Figures, 'waiting'> {
  const grown = (name: Exclude<keyof Totals, 'freshness' | 'latency'>): number =>
    after[name] >= before[name] ? after[name] - before[name] : after[name];
  const [events, failed, requests] = [grown('events'), grown('failed'), grown('requests')];
  const perSecond = (count: number): number => (count / elapsedMs) * SECOND_MS;
  const share = (part: number, whole: number): number | null => (whole === 0 ? null : Math.min(1, part / whole));
  return {
    events: perSecond(events),
    failedShare: share(failed, events + failed),
    lateShare: share(grown('late'), events),
    freshness: quantileBetween(before.freshness, after.freshness, TAIL),
    predictions: perSecond(grown('predictions')),
    errorShare: share(grown('errors'), requests),
    latency: quantileBetween(before.latency, after.latency, TAIL),
  };
}

/** Returns a quantile of what was observed between two looks, by linear interpolation within its bucket; null where nothing was. */
export function quantileBetween(before: Buckets, after: Buckets, quantile: number): number | null {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const isRestarted = bounds.some((bound) => (after.get(bound) ?? 0) < (before.get(bound) ?? 0));
  const counts = bounds.map((bound) => (after.get(bound) ?? 0) - (isRestarted ? 0 : (before.get(bound) ?? 0)));
  const all = counts.at(-1) ?? 0;
  if (all <= 0) return null;
  const rank = quantile * all;
  const at = counts.findIndex((count) => count >= rank);
  const [low, high] = [bounds[at - 1] ?? 0, bounds[at] ?? 0];
  const below = counts[at - 1] ?? 0;
  // Beyond the last bound nothing is known but that.
  if (!Number.isFinite(high)) return low;
  return low + (high - low) * ((rank - below) / ((counts[at] ?? 0) - below || 1));
}
