import { messageOf, PlatformError } from '#kernel/errors';
import type { Registry } from '#monitoring/metrics';
import type { AlertStatus } from '#serving/console/sources';

export interface MetricValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Metrics of the platform as they are now: out of Prometheus where there is one, otherwise those of this process. */
export interface MetricReader {
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
    return { read: (name) => readLocally(registries, name), alerts: async () => undefined };
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

async function readLocally(registries: readonly Registry[], name: string): Promise<readonly MetricValue[]> {
  const found = await Promise.all(registries.map((registry) => registry.getSingleMetric(name)?.get()));
  return found.flatMap((metric) =>
    (metric?.values ?? []).map(({ labels, value }) => ({
      labels: Object.fromEntries(Object.entries(labels).map(([label, text]) => [label, String(text)])),
      value,
    })),
  );
}
