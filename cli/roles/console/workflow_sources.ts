import type { ConsoleSources, ShownMachine } from '#serving/console/sources';
import type { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { approvalRole } from '#workflows/document/approval_role';
import { RunNotFoundError } from '#workflows/errors';
import { shownSchedules } from '#workflows/schedules/shown_schedules';
import { approvalAnswer } from '#workflows/tasks/approval';
import type { OfflineDatabase } from '../../parts/offline_database.ts';
import { configFileOf, projectFolder } from '../../project/loading/find_project.ts';
import { loadWorkflows } from '../../workflows/load_workflows.ts';

const RUNS = 100;
const LINES = 2_000;

type WorkflowSources = Pick<ConsoleSources, 'workflows' | 'runs' | 'run' | 'schedules' | 'changeRun'>;

/** What the console's pages of workflows show. The project's workflows are loaded when they are first looked at. */
export function workflowSources({ workflows: store, schedules }: OfflineDatabase): WorkflowSources {
  let loading: Promise<WorkflowCatalog | undefined> | undefined;
  const catalog = (): Promise<WorkflowCatalog | undefined> => {
    loading ??= (configFileOf(projectFolder()) === undefined ? Promise.resolve(undefined) : loadWorkflows()).catch(
      (error: unknown) => {
        loading = undefined;
        throw error;
      },
    );
    return loading;
  };
  return {
    async workflows() {
      const known = await catalog();
      return (known?.names ?? []).map((name) => ({
        ...{ name, document: known?.get(name).document as ShownMachine },
        schedules: (known?.schedules ?? []).filter(({ workflow }) => workflow === name).map((each) => each.name),
      }));
    },
    async schedules() {
      return shownSchedules((await catalog())?.schedules ?? [], await schedules.list());
    },
    runs: (filter) => store.list({ ...filter, limit: RUNS }),
    async run(id) {
      const [run, document, events, lines, { datasets }] = await Promise.all([
        store.get(id),
        store.document(id),
        store.history(id),
        store.logs(id, 0, LINES),
        store.lineage(id),
      ]);
      return { run, document: document as ShownMachine, events, lines, datasets };
    },
    async changeRun(workflow, id, change) {
      const found = await store.get(id);
      if (found.workflow !== workflow) throw new RunNotFoundError(id);
      const { by } = change;
      if (change.action === 'cancel') await store.cancel(id, by, change.reason);
      else if (change.action === 'redrive') await store.redrive(id, by);
      else {
        const { reason, state } = change;
        const role = approvalRole(await store.document(id), state);
        if (role !== undefined) change.requireRole(role);
        await store.answer({ run: id, state }, approvalAnswer({ by, reason, reject: change.action === 'reject' }), by);
      }
      return store.get(id);
    },
  };
}
