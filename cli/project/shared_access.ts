import { join } from 'node:path';
import { z } from 'zod';
import { type AccessConfig, accessSettings } from '#connectors/http/config';
import type { PORTS } from '../terminal/choices.ts';
import type { PlatformConfig } from './platform_config.ts';

const { apiKeys, keysFile, jwt, rateLimit, refusedLimit, cors, allowedHosts, withoutKeys } = accessSettings;

/** `access` in configs/*.yaml: what holds for every listener. */
export const sharedAccessSchema = z.strictObject({
  ...{ apiKeys, jwt, rateLimit, refusedLimit, cors, allowedHosts, withoutKeys },
  /** `keys.json` in the data directory unless set. */
  keysFile,
});

/** Listeners with their own callers and those of every listener: lists are joined, of other settings the listener's own wins. */
export function withSharedAccess(config: Readonly<PlatformConfig>): Readonly<PlatformConfig> {
  const { access, dataDirectory } = config;
  const shared = <T extends AccessConfig>(listener: T): T => ({
    ...listener,
    apiKeys: [...listener.apiKeys, ...access.apiKeys],
    keysFile: listener.keysFile ?? access.keysFile ?? join(dataDirectory, 'keys.json'),
    jwt: listener.jwt ?? access.jwt,
    rateLimit: listener.rateLimit ?? access.rateLimit,
    refusedLimit: listener.refusedLimit ?? access.refusedLimit,
    cors: { allowedOrigins: [...listener.cors.allowedOrigins, ...access.cors.allowedOrigins] },
    allowedHosts: [...listener.allowedHosts, ...access.allowedHosts],
    withoutKeys: listener.withoutKeys || access.withoutKeys,
  });
  const { gateway, pipeline, featureApi, serving, monitor } = config;
  return Object.freeze({
    ...config,
    gateway: shared(gateway),
    pipeline: shared(pipeline),
    featureApi: shared(featureApi),
    serving: shared(serving),
    monitor: shared(monitor),
  } satisfies Record<(typeof PORTS)[keyof typeof PORTS]['settings'], unknown> & PlatformConfig);
}
