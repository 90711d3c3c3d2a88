import type { IOtlpExportDelegate } from '@opentelemetry/otlp-exporter-base';
import type { Resource } from '@opentelemetry/resources';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { z } from 'zod';
import type { Service } from '#kernel/lifecycle';
import { importOptional } from '#kernel/optional_package';
import type { Logger } from './log.ts';
import type { Registry } from './metrics.ts';
import { otlpMetrics, type RegisteredMetric } from './otlp_data.ts';
import { otlpResource } from './otlp_resource.ts';
import { PeriodicExport } from './periodic_export.ts';

/** What is absent is as OpenTelemetry's variables say: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE, …, and those with METRICS in them. */
export const otlpSchema = z.strictObject({
  /** Address that metrics are posted to, with its path: http://collector:4318/v1/metrics. */
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  /** Of each request, such as an API key. */
  headers: z.record(z.string().min(1), z.string()).optional(),
  intervalMs: z.int().min(100).default(60_000),
  /** Of one export with its retries. */
  timeoutMs: z.int().positive().optional(),
});
export type OtlpConfig = z.infer<typeof otlpSchema>;

interface OtlpDeps {
  readonly registry: Registry;
  readonly log: Logger;
  /** Of the process, where it has several registries. */
  readonly part?: string;
}

/**
 * Sends the metrics of a registry to an OpenTelemetry collector by OTLP over HTTP, as protobuf: all of them, with the names, labels and values of
 * `GET /metrics`, counters and histograms as they have grown since the start. What a collector does not take is in the next export.
 */
export class OtlpExporter implements Service {
  readonly name = 'OTLP exporter';
  readonly #registry: Registry;
  readonly #part: string | undefined;
  readonly #config: OtlpConfig;
  readonly #exports: PeriodicExport;
  #startMs = 0;
  #resource: Resource | undefined;
  #delegate: IOtlpExportDelegate<ResourceMetrics> | undefined;

  constructor({ registry, log, part }: OtlpDeps, config: OtlpConfig) {
    this.#registry = registry;
    this.#part = part;
    this.#config = config;
    this.#exports = new PeriodicExport('otlp', {
      log: log.child({ component: 'monitoring.otlp', ...(part === undefined ? {} : { part }) }),
      metrics: registry,
      send: () => this.#send(),
    });
  }

  async start(): Promise<void> {
    const [{ MetricsExporterMetricsHelper, ProtobufMetricsSerializer }, node, resources] = await importOptional(
      {
        packages: ['@opentelemetry/otlp-transformer', '@opentelemetry/otlp-exporter-base', '@opentelemetry/resources'],
        use: 'metrics.exporter otlp',
      },
      () =>
        Promise.all([
          import('@opentelemetry/otlp-transformer'),
          import('@opentelemetry/otlp-exporter-base/node-http'),
          import('@opentelemetry/resources'),
        ]),
    );
    const { endpoint, headers, timeoutMs, intervalMs } = this.#config;
    const options = node.convertLegacyHttpOptions(
      {
        ...(endpoint === undefined ? {} : { url: endpoint }),
        ...(headers === undefined ? {} : { headers }),
        ...(timeoutMs === undefined ? {} : { timeoutMillis: timeoutMs }),
      },
      ...(['METRICS', 'v1/metrics', { 'Content-Type': 'application/x-protobuf' }] as const),
    );
    this.#resource = otlpResource(resources, this.#part);
    this.#startMs = Date.now();
    this.#delegate = node.createOtlpHttpExportDelegate(
      options,
      ProtobufMetricsSerializer,
      'otlp_http_metric_exporter',
      MetricsExporterMetricsHelper,
      undefined,
    );
    this.#exports.start(intervalMs);
  }

  /** Sends what the metrics are now; never rejects. */
  flush(): Promise<void> {
    return this.#exports.flush();
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    if (this.#delegate === undefined) return;
    await this.#exports.stop();
    await this.#delegate.shutdown();
    this.#delegate = undefined;
  }

  async #send(): Promise<void> {
    const metrics = (await this.#registry.getMetricsAsJSON()) as unknown as readonly RegisteredMetric[];
    const period = { startTime: hrTime(this.#startMs), endTime: hrTime(Date.now()) };
    const scopeMetrics = [{ scope: { name: 'headwater' }, metrics: otlpMetrics(metrics, period) }];
    await new Promise<void>((resolve, reject) => {
      this.#delegate?.export({ resource: this.#resource as Resource, scopeMetrics }, ({ code, error }) => {
        if (code === 0) resolve();
        else reject(error ?? new Error('the collector has not taken the metrics'));
      });
    });
  }
}

/** Seconds and nanoseconds. */
const hrTime = (ms: number): [number, number] => [Math.floor(ms / 1_000), (ms % 1_000) * 1_000_000];
