import { z } from 'zod';
import type { Service } from '#kernel/lifecycle';
import { CloudWatchExporter, cloudWatchSchema } from './cloudwatch_exporter.ts';
import type { Logger } from './log.ts';
import type { Registry } from './metrics.ts';
import { OtlpExporter, otlpSchema } from './otlp_exporter.ts';

export const metricsSchema = z.strictObject({
  /** Whether `GET /metrics` is there. */
  enabled: z.boolean().default(true),
  /** Where metrics are sent besides. */
  exporter: z.enum(['none', 'cloudwatch', 'otlp']).default('none'),
  cloudwatch: cloudWatchSchema.prefault({}),
  /** With an endpoint, metrics are sent there whatever `exporter` is. */
  otlp: otlpSchema.prefault({}),
});
export type MetricsConfig = z.infer<typeof metricsSchema>;

/** Returns what sends the metrics of a process, of whatever roles, to where the configuration says. Registries are by the part of the process that they are of. */
export function createMetricExporters(
  registries: Readonly<Record<string, Registry>>,
  log: Logger,
  { exporter, cloudwatch, otlp }: MetricsConfig,
): Service[] {
  const parts = Object.entries(registries);
  const services: Service[] = [];
  if (exporter === 'cloudwatch') {
    services.push(new CloudWatchExporter({ registries: Object.values(registries), log }, cloudwatch));
  }
  if (exporter === 'otlp' || otlp.endpoint !== undefined) {
    for (const [part, registry] of parts) {
      services.push(new OtlpExporter({ registry, log, ...(parts.length > 1 ? { part } : {}) }, otlp));
    }
  }
  return services;
}
