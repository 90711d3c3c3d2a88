import { messageOf, PlatformError } from '#kernel/errors';
import type { Registry } from '#monitoring/metrics';
import type { AlertStatus } from '#serving/console/answers';

export interface MetricValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Metrics of the platform as they are now: out of Prometheus where there is one, otherwise those of this process. */
export interface MetricReader {
  /** Whether values are of the job that is named, and not of all that this process does. */
  readonly hasJobs: boolean;
  /** @param job - whose, where several roles have the metric */
  read(name: string, job: string): Promise<readonly MetricValue[]>;
  /** Undefined without Prometheus. */
  alerts(): Promise<readonly AlertStatus[] | undefined>;
}

class PrometheusUnavailableError extends PlatformError {
  readonly code = 'CONSOLE_PROMETHEUS_UNAVAILABLE';

  constructor(url: string, why: string, cause?: unknown) {
    super(`Prometheus at ${url} does not answer: ${why}`, { fault: 'dependency', retryable: true, cause });
  }
}

const TIMEOUT_MS = 3_000;

export function createMetricReader(registries: readonly Registry[], prometheusUrl: string | undefined): MetricReader {
  if (prometheusUrl === undefined) {
    return { hasJobs: false, read: (name) => readLocally(registries, name), alerts: async () => undefined };
  }
  const ask = async <T>(path: string): Promise<T> => {
    const answer = await fetch(`${prometheusUrl}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
      (error: unknown) => {
        throw new PrometheusUnavailableError(prometheusUrl, messageOf(error), error);
      },
    );
    if (!answer.ok) throw new PrometheusUnavailableError(prometheusUrl, `it answers ${answer.status}`);
    return ((await answer.json()) as { data: T }).data;
  };
  return {
    hasJobs: true,
    async read(name, job) {
      const query = encodeURIComponent(`${name}{job="${job}"}`);
      interface Found {
        readonly result: readonly { metric: Record<string, string>; value: readonly [number, string] }[];
      }
      const { result } = await ask<Found>(`/api/v1/query?query=${query}`);
      return result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }));
    },
    async alerts() {
      interface Found {
        readonly alerts: readonly {
          labels: Record<string, string>;
          annotations: Record<string, string>;
          state: string;
          activeAt: string;
        }[];
      }
      const { alerts } = await ask<Found>('/api/v1/alerts');
      return alerts.map(({ labels, annotations, state, activeAt: since }) => ({
        ...{ name: labels.alertname ?? '', severity: labels.severity ?? '', kind: labels.kind ?? '', state, since },
        ...{ summary: annotations.summary ?? '', runbook: annotations.runbook_url ?? '' },
      }));
    },
  };
}

/** What a histogram's values are called: its name and one of these. */
const PART_OF_HISTOGRAM = /_(bucket|sum|count)$/;

async function readLocally(registries: readonly Registry[], name: string): Promise<readonly MetricValue[]> {
  const owner = (registry: Registry) =>
    registry.getSingleMetric(name) ?? registry.getSingleMetric(name.replace(PART_OF_HISTOGRAM, ''));
  const found = await Promise.all(registries.map((registry) => owner(registry)?.get()));
  return found.flatMap((metric) =>
    ((metric?.values ?? []) as readonly LocalValue[])
      .filter(({ metricName = name }) => metricName === name)
      .map(({ labels, value }) => ({
        labels: Object.fromEntries(Object.entries(labels).map(([label, text]) => [label, String(text)])),
        value,
      })),
  );
}

interface LocalValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Of a histogram's values. */
  readonly metricName?: string;
}
