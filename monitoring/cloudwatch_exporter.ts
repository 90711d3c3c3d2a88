import type { CloudWatchClient, MetricDatum } from '@aws-sdk/client-cloudwatch';
import { z } from 'zod';
import type { Service } from '#kernel/lifecycle';
import { importOptional } from '#kernel/optional_package';
import type { Logger } from './log.ts';
import type { Registry } from './metrics.ts';
import { PeriodicExport } from './periodic_export.ts';

/** What dashboards and alarms of an account read first; each series costs money there. */
const USUAL = [
  ...['events_accepted_total', 'events_rejected_total', 'events_processed_total', 'events_failed_total'],
  ...['feature_computation_seconds', 'pipeline_end_to_end_seconds', 'pipeline_watermark_lag_seconds'],
  ...['pipeline_backlog_records', 'cache_hits_total', 'cache_misses_total', 'http_requests_total'],
  ...['prediction_latency_seconds', 'predictions_total', 'ab_variant_assignments', 'drift_detected'],
];

export const cloudWatchSchema = z.strictObject({
  namespace: z.string().min(1).default('headwater'),
  /** Absent: what the environment says (AWS_REGION). */
  region: z.string().min(1).optional(),
  /** Another address than AWS's own. */
  endpoint: z.url().optional(),
  intervalMs: z.int().min(1_000).default(60_000),
  /** Names of metrics that go there. */
  names: z.array(z.string().min(1)).min(1).default(USUAL),
});
export type CloudWatchConfig = z.infer<typeof cloudWatchSchema>;

/** Limits of PutMetricData: data in a request, values of one datum, dimensions. */
const DATA_A_REQUEST = 500;
const MOST_VALUES = 150;
const MOST_DIMENSIONS = 30;

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

interface Told {
  readonly name: string;
  readonly type: string;
  readonly values: readonly Sample[];
}

type Dimensions = readonly { readonly Name: string; readonly Value: string }[];

/**
 * Sends metrics to CloudWatch as well: gauges as they are, of counters and histograms what has come since the last time; histograms as values with
 * counts, so that CloudWatch computes percentiles. What it does not take is logged, and counts in with the next.
 */
export class CloudWatchExporter implements Service {
  readonly name = 'CloudWatch exporter';
  readonly #registries: readonly Registry[];
  readonly #config: CloudWatchConfig;
  readonly #exports: PeriodicExport;
  #client: CloudWatchClient | undefined;
  /** What counters and buckets were when they were last taken. */
  #before = new Map<string, number>();

  /** @param deps - at least one registry */
  constructor(deps: { readonly registries: readonly Registry[]; readonly log: Logger }, config: CloudWatchConfig) {
    this.#registries = deps.registries;
    this.#config = config;
    this.#exports = new PeriodicExport('cloudwatch', {
      log: deps.log.child({ component: 'monitoring.cloudwatch' }),
      metrics: deps.registries[0] as Registry,
      send: () => this.#send(),
    });
  }

  async start(): Promise<void> {
    const { CloudWatchClient } = await importOptional(
      { packages: ['@aws-sdk/client-cloudwatch'], use: 'metrics.exporter cloudwatch' },
      () => import('@aws-sdk/client-cloudwatch'),
    );
    const { region, endpoint, intervalMs } = this.#config;
    this.#client = new CloudWatchClient({
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    this.#exports.start(intervalMs);
  }

  /** Sends what has come since the last time; never throws. */
  flush(): Promise<void> {
    return this.#exports.flush();
  }

  async #send(): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    const { PutMetricDataCommand } = await import('@aws-sdk/client-cloudwatch');
    const after = new Map(this.#before);
    const data = await this.#collect(after);
    for (let from = 0; from < data.length; from += DATA_A_REQUEST) {
      const MetricData = data.slice(from, from + DATA_A_REQUEST);
      await client.send(new PutMetricDataCommand({ Namespace: this.#config.namespace, MetricData }));
    }
    this.#before = after;
  }

  /** @param after - set to what counters are now */
  async #collect(after: Map<string, number>): Promise<MetricDatum[]> {
    const told = await Promise.all(this.#registries.map((registry) => registry.getMetricsAsJSON()));
    const wanted = new Set(this.#config.names);
    const Timestamp = new Date();
    const data: MetricDatum[] = [];
    const since = (name: string, { labels, value }: Sample): number => {
      const key = `${name} ${JSON.stringify(labels)}`;
      const before = this.#before.get(key) ?? 0;
      after.set(key, value);
      return value - before;
    };
    for (const { name, type, values } of told.flat() as unknown as readonly Told[]) {
      if (!wanted.has(name)) continue;
      if (type === 'histogram') {
        data.push(...histogramData(name, values, since).map((datum) => ({ ...datum, Timestamp })));
        continue;
      }
      for (const sample of values) {
        const Value = type === 'counter' ? since(name, sample) : sample.value;
        if (!Number.isFinite(Value)) continue;
        const Unit = type === 'counter' ? 'Count' : name.endsWith('_seconds') ? 'Seconds' : 'None';
        data.push({ MetricName: name, Dimensions: [...dimensionsOf(sample)], Timestamp, Value, Unit });
      }
    }
    return data;
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    await this.#exports.stop();
    this.#client?.destroy();
    this.#client = undefined;
  }
}

const dimensionsOf = ({ labels }: Sample): Dimensions =>
  Object.entries(labels)
    .filter(([name, value]) => name !== 'le' && String(value) !== '')
    .slice(0, MOST_DIMENSIONS)
    .map(([Name, value]) => ({ Name, Value: String(value) }));

/** Of each series: the upper ends of the buckets that something came into, with how much. */
function histogramData(
  name: string,
  values: readonly Sample[],
  since: (name: string, sample: Sample) => number,
): MetricDatum[] {
  const last = Math.max(0, ...values.map(({ labels }) => Number(labels.le)).filter(Number.isFinite));
  const series = new Map<string, { dimensions: Dimensions; values: number[]; counts: number[]; below: number }>();
  for (const sample of values) {
    if (sample.metricName !== `${name}_bucket`) continue;
    const dimensions = dimensionsOf(sample);
    const key = JSON.stringify(dimensions);
    const own = series.get(key) ?? { dimensions, values: [], counts: [], below: 0 };
    series.set(key, own);
    // Buckets hold all below them.
    const upTo = since(`${name}_bucket`, sample);
    const count = upTo - own.below;
    own.below = upTo;
    if (count <= 0) continue;
    // What is beyond the last end is at least that.
    const end = sample.labels.le === '+Inf' ? last : Number(sample.labels.le);
    if (own.values.at(-1) === end) own.counts.push((own.counts.pop() ?? 0) + count);
    else if (own.values.length < MOST_VALUES) {
      own.values.push(end);
      own.counts.push(count);
    }
  }
  return [...series.values()]
    .filter(({ counts }) => counts.length > 0)
    .map(({ dimensions, values: Values, counts: Counts }) => ({
      MetricName: name,
      ...{ Dimensions: [...dimensions], Values, Counts, Unit: 'Seconds' as const },
    }));
}
