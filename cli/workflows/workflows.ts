import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import Table from 'cli-table3';
import { messageOf } from '#kernel/errors';
import type { JsonValue } from '#kernel/json';
import type { RunRecord, RunStatus } from '#kernel/workflow_runs';
import { defineWorkflow } from '#workflows/document/define_workflow';
import { lineageEvents } from '#workflows/lineage/open_lineage';
import type { WorkflowStore } from '#workflows/store/workflow_store';
import { approvalAnswer } from '#workflows/tasks/approval';
import { withOffline } from '../parts/with_offline.ts';
import { projectFolder } from '../project/loading/find_project.ts';
import { loadDefinitions, loadProject } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print, printJsonArray, printList } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { author } from './author.ts';
import { loadWorkflows, readJson } from './load_workflows.ts';

const WAIT_POLL_MS = 200;

const withStore = async <T>(work: (store: WorkflowStore) => Promise<T>): Promise<T> =>
  withOffline(await loadProject(), ({ workflows }) => work(workflows));

/** @throws {@link RunNotFoundError} for a run that does not exist, whose history would be empty */
const ofRun = <T>(id: string, read: (store: WorkflowStore) => Promise<T>): Promise<T> =>
  withStore(async (store) => {
    await store.get(id);
    return read(store);
  });

/** `headwater workflows run`. */
export async function runWorkflow(
  name: string,
  options: {
    readonly input: string;
    readonly id?: string;
    readonly wait: boolean;
    readonly timeout: number;
    readonly by?: string;
    readonly json: boolean;
  },
): Promise<void> {
  const catalog = await loadWorkflows();
  const id = options.id ?? randomUUID();
  const run = catalog.newRun(name, id, inputOf(options.input), { kind: 'manual', by: author(options.by) });
  const record = await withStore(async (store) => {
    const isNew = await store.startRun(run);
    if (!isNew && !options.json) print(`run ${id} exists already`);
    return options.wait ? ended(store, id, options.timeout) : store.get(id);
  });
  show(record, options.json);
  if (options.wait && record.status !== 'succeeded') {
    const why = record.error === null ? '' : `: ${record.error}: ${record.cause}`;
    throw new CommandFailedError(`run ${id} is ${record.status}${why}`);
  }
}

function inputOf(given: string): JsonValue {
  try {
    return JSON.parse(given.startsWith('@') ? readFileSync(given.slice(1), 'utf8') : given) as JsonValue;
  } catch (error) {
    throw new UsageError(`--input ${given}: ${messageOf(error)}; give JSON, or @FILE with JSON`);
  }
}

async function ended(store: WorkflowStore, id: string, timeoutS: number): Promise<RunRecord> {
  const until = Date.now() + timeoutS * 1_000;
  for (;;) {
    const run = await store.get(id);
    if ((run.status !== 'queued' && run.status !== 'running') || Date.now() > until) return run;
    await delay(WAIT_POLL_MS);
  }
}

function show(run: RunRecord, json: boolean): void {
  if (json) {
    print(JSON.stringify(run));
    return;
  }
  const at = run.at.map(({ path, state }) => (path === '' ? state : `${path}/${state}`)).join(', ');
  print(`${run.id}  ${run.workflow}  ${run.status}${at === '' ? '' : `  at ${at}`}`);
}

/** `headwater workflows list`. */
export async function listRuns(options: {
  readonly workflow?: string;
  readonly status?: string;
  readonly limit: number;
  readonly json: boolean;
}): Promise<void> {
  const { workflow, status, limit } = options;
  const runs = await withStore((store) => store.list({ workflow, status: status as RunStatus | undefined, limit }));
  if (options.json) {
    printJsonArray(runs);
    return;
  }
  const table = new Table({ head: ['run', 'workflow', 'status', 'queued', 'at'], style: { head: [], border: [] } });
  for (const run of runs) {
    const at = run.error ?? run.at.map(({ path, state }) => (path === '' ? state : `${path}/${state}`)).join(', ');
    table.push([run.id, run.workflow, run.status, run.queuedAt, at]);
  }
  print(runs.length === 0 ? 'no runs' : table.toString());
}

/** `headwater workflows history`. */
export async function showHistory(run: string, { json }: { readonly json: boolean }): Promise<void> {
  const events = await ofRun(run, (store) => store.history(run));
  printList(events, {
    ...{ json, empty: 'no events' },
    line: ({ at, kind, path, state, detail }) => {
      const where = [path, state].filter((part) => part !== '' && part !== null).join('/');
      return [at, kind, where, detail === null ? '' : JSON.stringify(detail)].filter((part) => part !== '').join('  ');
    },
  });
}

/** `headwater workflows logs`. */
export async function showLogs(run: string, { json }: { readonly json: boolean }): Promise<void> {
  const lines = await ofRun(run, (store) => store.logs(run));
  printList(lines, {
    ...{ json, empty: 'its steps logged nothing' },
    line: ({ at, state, attempt, line }) => `${at}  ${state}:${attempt}  ${line}`,
  });
}

/** `headwater workflows lineage`. */
export async function showLineage(run: string): Promise<void> {
  const project = await loadProject();
  const lineage = await withOffline(project, ({ workflows }) => workflows.lineage(run));
  for (const event of lineageEvents(lineage, project.workflows.lineage.namespace)) print(JSON.stringify(event));
}

interface Change {
  readonly by?: string;
  readonly json: boolean;
}

/** `headwater workflows redrive`. */
export const redriveRun = (id: string, { by, json }: Change): Promise<void> =>
  changed(id, json, (store) => store.redrive(id, author(by)));

/** `headwater workflows cancel`. */
export const cancelRun = (id: string, { by, json, reason }: Change & { readonly reason: string }): Promise<void> =>
  changed(id, json, (store) => store.cancel(id, author(by), reason));

/** `headwater workflows approve`. */
export const approveRun = (
  id: string,
  {
    by,
    json,
    reason,
    state,
    reject,
  }: Change & { readonly reason: string; readonly state?: string; readonly reject: boolean },
): Promise<void> =>
  changed(id, json, async (store) => {
    const name = author(by);
    await store.answer({ run: id, state }, approvalAnswer({ by: name, reason, reject }), name);
  });

async function changed(id: string, json: boolean, change: (store: WorkflowStore) => Promise<void>): Promise<void> {
  const run = await withStore(async (store) => {
    await change(store);
    return store.get(id);
  });
  show(run, json);
}

/** `headwater workflows export`. */
export async function exportWorkflow(name: string): Promise<void> {
  print(JSON.stringify((await loadWorkflows()).get(name).document, null, 2));
}

/** `headwater workflows import`. */
export async function importWorkflow(
  file: string,
  { name, overwrite }: { readonly name: string; readonly overwrite: boolean },
): Promise<void> {
  const root = projectFolder();
  const { spec } = await loadDefinitions(root);
  const document = await readJson(process.cwd(), resolve(file));
  defineWorkflow(name, document);
  const [first] = [spec.workflows ?? 'workflows'].flat();
  if (first === undefined)
    throw new UsageError('the project has no folder of workflows: name one in "workflows" of its configuration');
  const folder = resolve(root, first);
  const target = join(folder, `${name}.asl.json`);
  const shown = relative(root, target);
  if (existsSync(target) && !overwrite) throw new UsageError(`${shown} exists; give --overwrite to replace it`);
  await mkdir(folder, { recursive: true });
  await writeFile(target, `${JSON.stringify(document, null, 2)}\n`);
  print(`${shown} written; the tasks it names are checked when the project is loaded`);
}
