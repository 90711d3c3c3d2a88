import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import type { Project } from '../project/project.ts';
import type { OfflineDatabase } from './offline_database.ts';
import { openOffline } from './open_parts.ts';

/** Does `work` with the offline store of a project, or that of the platform that runs and has its folder. */
export async function withOffline<T>(project: Project, work: (offline: OfflineDatabase) => Promise<T>): Promise<T> {
  const log = createLogger({ level: 'error' });
  const offline = await openOffline(project, log);
  const services = await startAll([offline], new AbortController().signal);
  try {
    return await work(offline);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
