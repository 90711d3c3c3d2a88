import type { OfflineStore } from '#feature_store/offline/offline_store';
import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { loadPlatformConfig } from '../project/platform_config.ts';
import { openOffline } from './open_parts.ts';

/** Does `work` with the offline store of the configuration, or that of the platform that runs and has its folder. */
export async function withOffline<T>(work: (offline: OfflineStore) => Promise<T>): Promise<T> {
  const log = createLogger({ level: 'error' });
  const offline = await openOffline(loadPlatformConfig(process.env), log);
  const services = await startAll([offline], new AbortController().signal);
  try {
    return await work(offline);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
