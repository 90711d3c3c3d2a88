import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { loadProject } from '../project/project.ts';
import type { OfflineDatabase } from './offline_database.ts';
import { openOffline } from './open_parts.ts';

/** Does `work` with the offline store of the configuration, or that of the platform that runs and has its folder. */
export async function withOffline<T>(work: (offline: OfflineDatabase) => Promise<T>): Promise<T> {
  const log = createLogger({ level: 'error' });
  const offline = await openOffline(await loadProject(), log);
  const services = await startAll([offline], new AbortController().signal);
  try {
    return await work(offline);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
