import { Counter, Distribution, Gauge, type Metric } from '#pipelines/engine/metrics';
import { ByteReader, ByteWriter } from '#pipelines/model/coders/bytes';

const SUM_URN = 'beam:metric:user:sum_int64:v1';
const DISTRIBUTION_URN = 'beam:metric:user:distribution_int64:v1';

/** A metric or count with its place in the graph, for a runner's monitoring. */
export interface Monitored {
  readonly urn: string;
  readonly type: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
}

/** Returns a metric as a runner's monitoring takes it; undefined when nothing was counted. */
export function sampleOf(metric: Metric): Omit<Monitored, 'labels'> | undefined {
  if (metric instanceof Counter) {
    if (metric.value === 0) return undefined;
    return { urn: SUM_URN, type: 'beam:metrics:sum_int64:v1', payload: varints(metric.value) };
  }
  if (metric instanceof Distribution) {
    if (metric.count === 0) return undefined;
    return {
      urn: DISTRIBUTION_URN,
      type: 'beam:metrics:distribution_int64:v1',
      payload: varints(metric.count, metric.sum, metric.min, metric.max),
    };
  }
  if (metric instanceof Gauge && metric.setAt > 0) {
    return {
      urn: 'beam:metric:user:latest_int64:v1',
      type: 'beam:metrics:latest_int64:v1',
      payload: varints(metric.setAt, metric.value),
    };
  }
  return undefined;
}

export function varints(...values: readonly number[]): Uint8Array {
  const out = new ByteWriter(16);
  for (const value of values) out.varint(Math.round(value));
  return out.finish();
}

/** Counts and distributions of DoFns by name, added up over transforms. */
export interface UserMetrics {
  readonly counters: Readonly<Record<string, number>>;
  readonly distributions: Readonly<Record<string, Omit<Distribution, 'name' | 'update'>>>;
}

/** Adds up samples of users' metrics; others are left out. */
export function userMetricsOf(samples: readonly Omit<Monitored, 'type'>[]): UserMetrics {
  const counters: Record<string, number> = {};
  const distributions: Record<string, { count: number; sum: number; min: number; max: number }> = {};
  for (const { urn, labels, payload } of samples) {
    const { NAME: name = '' } = labels;
    const reader = new ByteReader(payload);
    const next = (): number => Number(reader.varint());
    if (urn === SUM_URN) counters[name] = (counters[name] ?? 0) + next();
    if (urn !== DISTRIBUTION_URN) continue;
    const [count, sum, min, max] = [next(), next(), next(), next()];
    const before = distributions[name] ?? {
      count: 0,
      sum: 0,
      min: Number.POSITIVE_INFINITY,
      max: Number.NEGATIVE_INFINITY,
    };
    distributions[name] = {
      ...{ count: before.count + count, sum: before.sum + sum },
      ...{ min: Math.min(before.min, min), max: Math.max(before.max, max) },
    };
  }
  return { counters, distributions };
}
