import { hostname } from 'node:os';
import type * as Resources from '@opentelemetry/resources';

/**
 * Returns what names this process to a collector, for traces and metrics alike: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES over `headwater`, and the
 * host and process as the instance.
 *
 * @param resources - OpenTelemetry's, which the caller has loaded
 * @param part - of the process, where its parts report apart
 */
export function otlpResource(resources: typeof Resources, part?: string): Resources.Resource {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = resources;
  const instance = [hostname(), String(process.pid), ...(part === undefined ? [] : [part])].join(':');
  return defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'headwater', 'service.instance.id': instance }))
    .merge(detectResources({ detectors: [envDetector] }));
}
