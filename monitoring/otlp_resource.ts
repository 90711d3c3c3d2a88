import { hostname } from 'node:os';
import type { Resource } from '@opentelemetry/resources';
import { importOptional } from '#kernel/optional_package';

/**
 * Returns what names this process to a collector, for traces and metrics alike: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES over `headwater`, and the
 * host and process as the instance.
 *
 * @param part - of the process, where its parts report apart
 */
export async function otlpResource(part?: string): Promise<Resource> {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = await importOptional(
    { packages: ['@opentelemetry/resources'], use: 'OTEL_EXPORTER_OTLP_ENDPOINT' },
    () => import('@opentelemetry/resources'),
  );
  const instance = [hostname(), String(process.pid), ...(part === undefined ? [] : [part])].join(':');
  return defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'headwater', 'service.instance.id': instance }))
    .merge(detectResources({ detectors: [envDetector] }));
}
