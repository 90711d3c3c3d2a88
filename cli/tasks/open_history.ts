import type { OfflineDatabase } from '../parts/offline_database.ts';
import type { Project } from '../project/project.ts';

/** Does `work` with the offline store of this process's project. What opens it is loaded then: modules of workflows are loaded by processes that open none. */
export async function withHistory<T>(work: (offline: OfflineDatabase, project: Project) => Promise<T>): Promise<T> {
  const [{ withOffline }, { loadProject }] = await Promise.all([
    import('../parts/with_offline.ts'),
    import('../project/project.ts'),
  ]);
  const project = await loadProject();
  return withOffline(project, (offline) => work(offline, project));
}
