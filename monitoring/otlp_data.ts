import type { Attributes, HrTime } from '@opentelemetry/api';
import type { DataPoint, Histogram, MetricData, MetricDescriptor } from '@opentelemetry/sdk-metrics';

/** A metric as `Registry.getMetricsAsJSON` returns it. */
export interface RegisteredMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly RegisteredSample[];
}

interface RegisteredSample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Of histograms and summaries: the name with `_bucket`, `_sum` or `_count`. */
  readonly metricName?: string;
}

/** Values of enumerations of `@opentelemetry/sdk-metrics` and `@opentelemetry/api`, which are optional packages: here they are types alone. */
const TYPES = { histogram: 0, gauge: 2, sum: 3 } as const;
const DOUBLE = 1;
const CUMULATIVE = 1;

/** From when counters count, and when they were read. */
export interface Period {
  readonly startTime: HrTime;
  readonly endTime: HrTime;
}

/**
 * Translates metrics to OpenTelemetry's model with the names, labels and values that `GET /metrics` shows. Of a summary, which OpenTelemetry's JavaScript
 * does not have, quantiles are a gauge, sum and count are counters. Metrics without a value are left out.
 */
export function otlpMetrics(metrics: readonly RegisteredMetric[], period: Period): MetricData[] {
  return metrics.flatMap((metric) => translate(metric, period)).filter(({ dataPoints }) => dataPoints.length > 0);
}

function translate(metric: RegisteredMetric, period: Period): MetricData[] {
  const { name, type, values } = metric;
  if (type === 'histogram') return [histogramData(metric, period)];
  if (type === 'counter') return [sumData(metric, name, values, period)];
  if (type !== 'summary') return [gaugeData(metric, values, period)];
  const named = (suffix: string) => values.filter(({ metricName }) => metricName === `${name}${suffix}`);
  const quantiles = values.filter(({ labels }) => labels.quantile !== undefined);
  return [
    gaugeData(metric, quantiles, period),
    sumData(metric, `${name}_sum`, named('_sum'), period),
    sumData(metric, `${name}_count`, named('_count'), period),
  ];
}

const descriptorOf = ({ help }: RegisteredMetric, name: string): MetricDescriptor => ({
  name,
  description: help,
  unit: '',
  valueType: DOUBLE as MetricDescriptor['valueType'],
});

const sumData = (
  metric: RegisteredMetric,
  name: string,
  values: readonly RegisteredSample[],
  period: Period,
): MetricData => ({
  descriptor: descriptorOf(metric, name),
  aggregationTemporality: CUMULATIVE,
  dataPointType: TYPES.sum,
  isMonotonic: true,
  dataPoints: values.map((sample) => ({ ...period, attributes: attributesOf(sample), value: sample.value })),
});

const gaugeData = (metric: RegisteredMetric, values: readonly RegisteredSample[], period: Period): MetricData => ({
  descriptor: descriptorOf(metric, metric.name),
  aggregationTemporality: CUMULATIVE,
  dataPointType: TYPES.gauge,
  dataPoints: values.map((sample) => ({ ...period, attributes: attributesOf(sample), value: sample.value })),
});

interface Series {
  readonly attributes: Attributes;
  readonly boundaries: number[];
  readonly counts: number[];
  /** Of all buckets so far: Prometheus' buckets hold all that is below them, OpenTelemetry's do not. */
  below: number;
  sum: number;
}

function histogramData(metric: RegisteredMetric, period: Period): MetricData {
  const series = new Map<string, Series>();
  for (const sample of metric.values) {
    const attributes = attributesOf(sample);
    const { le } = sample.labels;
    if (sample.metricName === `${metric.name}_bucket`) delete attributes.le;
    const key = JSON.stringify(Object.entries(attributes).sort());
    let own = series.get(key);
    if (own === undefined) {
      own = { attributes, boundaries: [], counts: [], below: 0, sum: 0 };
      series.set(key, own);
    }
    if (sample.metricName === `${metric.name}_bucket`) {
      if (le !== '+Inf') own.boundaries.push(Number(le));
      own.counts.push(sample.value - own.below);
      own.below = sample.value;
    } else if (sample.metricName === `${metric.name}_sum`) own.sum = sample.value;
  }
  return {
    descriptor: descriptorOf(metric, metric.name),
    aggregationTemporality: CUMULATIVE,
    dataPointType: TYPES.histogram,
    dataPoints: [...series.values()].map(
      ({ attributes, boundaries, counts, below, sum }): DataPoint<Histogram> => ({
        ...period,
        attributes,
        value: { buckets: { boundaries, counts }, count: below, sum },
      }),
    ),
  };
}

/** Labels are strings, as `GET /metrics` prints them. */
const attributesOf = ({ labels }: RegisteredSample): Attributes =>
  Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]));
