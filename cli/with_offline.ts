import { createOfflineStore } from '#feature_store/config';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { VIEWS } from '#feature_store/views/catalog';
import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { loadPlatformConfig } from './platform_config.ts';

/** Does `work` with the offline store of the configuration. */
export async function withOffline<T>(work: (offline: OfflineStore) => Promise<T>): Promise<T> {
  const log = createLogger({ level: 'error' });
  const offline = createOfflineStore({ log, views: VIEWS }, loadPlatformConfig(process.env).offlineStore);
  const services = await startAll([offline], new AbortController().signal);
  try {
    return await work(offline);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
