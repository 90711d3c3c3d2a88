import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathIn, readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { servicesById } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import { UnknownServiceError } from '#feature_store/errors';
import type { JsonValue } from '#kernel/json';
import { systemClock } from '#kernel/time';
import { type TaskContext, type TaskDefinition, TaskError, task } from '#workflows/tasks/task';
import type { ModelDefinition } from '../project/config/define_model.ts';
import { runAsTask } from './command_task.ts';
import { withHistory } from './open_history.ts';

/** What a schedule gives the runs that it starts; absent in those that are started otherwise. */
export interface ScheduledInput {
  readonly schedule?: { readonly name: string; readonly time: string; readonly date: string };
}

/** What a model said of every entity. */
export interface EntityPredictions {
  /** YYYY-MM-DD: of the schedule, or today. */
  readonly date: string;
  /** Folder of the predictions, local or s3://. */
  readonly path: string;
  readonly version: number;
  readonly rows: number;
  /** Rows that the model does not take; they are in `refused`, with the reasons. */
  readonly refused: number;
}

/** How predictions of entities are written. */
export interface PredictEntitiesOptions {
  /** Of the files; default: `parquet`. */
  readonly format?: 'parquet' | 'jsonl' | 'csv';
  /** Columns of the service that are written beside the predictions; default: those that the model does not take. */
  readonly keep?: readonly string[];
}

const DATE_LENGTH = 10;
const ENTITIES_A_PAGE = 5_000;
/** As many as the feature API takes at once. */
const ROWS_A_PUSH = 1_000;
/** What names of folders and keys of objects may be of, everywhere. */
const plainName = (text: string): string => text.replace(/[^A-Za-z0-9_.-]/g, '_');

/** By views: several workflows may begin with the same check, and a task's name has one definition. */
const contractChecks = new Map<string, TaskDefinition<unknown, unknown>>();

/**
 * Declares a task that compares rows with the contracts of views, and returns its input. It fails with `Command.Failed` where a contract is broken. The same views give the same task.
 *
 * @param views - each with a contract
 */
export function checkContracts<Input>(...views: readonly FeatureView[]): TaskDefinition<Input, Input> {
  const ids = views.map(viewId);
  const name = `check-${ids.map(plainName).join('-')}`;
  const known = contractChecks.get(name);
  const check =
    known ??
    task(name, async (input: unknown, context) => {
      await runAsTask(['features', 'check', ...ids.flatMap((id) => ['--view', id])], context);
      return input;
    });
  if (known === undefined) contractChecks.set(name, check);
  return check as TaskDefinition<Input, Input>;
}

/**
 * Declares a task that predicts for every entity of a model's service as of now, by the version in production. The predictions are below the variable `predictions` (a folder,
 * or s3://bucket/prefix): `model=NAME/date=DATE/run=RUN/….parquet`, with `entity_key` and `event_time`. `workflow_written_rows_total` counts them as `predictions/NAME`.
 */
export const predictEntities = <Input extends ScheduledInput>(
  { name, service }: ModelDefinition,
  { format = 'parquet', keep = [] }: PredictEntitiesOptions = {},
): TaskDefinition<Input, EntityPredictions> =>
  task(
    `predict-${name}`,
    async (input: Input, context): Promise<EntityPredictions> => {
      const now = new Date(systemClock.now()).toISOString();
      const date = input.schedule?.date ?? now.slice(0, DATE_LENGTH);
      const run = plainName(context.run);
      const path = `${context.variable('predictions')}/model=${name}/date=${date}/run=${run}`;
      // The same for each attempt: answers that an attempt has written are not computed again.
      const folder = join(tmpdir(), `headwater-${name}-${run}`);
      await mkdir(folder, { recursive: true });
      const [moments, rows] = [join(folder, 'moments.jsonl'), join(folder, 'rows')];
      await writeMoments(service, now, moments);
      await runAsTask(
        ['training-sets', 'create', '--service', service, '--labels-file', moments, '--out', rows],
        context,
      );
      const columns = ['--keep', 'entity_key', 'event_time', ...keep];
      const { lines } = await runAsTask(
        ['predictions', 'batch', name, '--in', join(rows, 'data.csv'), '--out', path, '--format', format, ...columns],
        context,
      );
      await rm(folder, { recursive: true, force: true });
      context.reads(`models/${name}`);
      const {
        version,
        rows: count,
        refused,
      } = JSON.parse(lines.findLast((line) => line.startsWith('{')) ?? '{}') as Omit<
        EntityPredictions,
        'date' | 'path'
      >;
      context.writes(`predictions/${name}`, date, count);
      return { date, path, version, rows: count, refused };
    },
    { process: true },
  );

/** Writes each entity of a service with the time as of which its features are read; a label must be there, and says nothing. */
async function writeMoments(id: string, time: string, file: string): Promise<void> {
  await writeFile(file, '');
  await withHistory(async ({ features }, { catalog }) => {
    const services = servicesById(catalog);
    const view = services.get(id)?.stored[0]?.view;
    if (view === undefined) throw new UnknownServiceError(id, [...services.keys()]);
    let after: EntityKey | undefined;
    do {
      const page: readonly FeatureRow[] = await features.newestRows(view, {
        limit: ENTITIES_A_PAGE,
        ...(after === undefined ? {} : { after }),
      });
      const lines = page.map(
        ({ entityKey }) => `${JSON.stringify({ entity_key: entityKey, event_time: time, label: 0 })}\n`,
      );
      await appendFile(file, lines.join(''));
      after = page.length < ENTITIES_A_PAGE ? undefined : page.at(-1)?.entityKey;
    } while (after !== undefined);
  });
}

/**
 * Reads predictions that {@link predictEntities} has written as JSON lines.
 *
 * @param path - of the predictions
 * @returns a row for each entity: `entity`, the id as people write it, and the columns of the file
 */
export async function readPredictions(
  path: string,
): Promise<readonly (Readonly<Record<string, JsonValue>> & { readonly entity: string })[]> {
  const files = createFileSystems()(path);
  const rows: (Record<string, JsonValue> & { entity: string })[] = [];
  for (const found of await files.glob(pathIn(path, '*.jsonl'))) {
    const text = (await readWhole(files, found)).toString('utf8');
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const row = JSON.parse(line) as Record<string, JsonValue>;
      rows.push({ ...row, entity: idOf(row.entity_key as EntityKey) });
    }
  }
  return rows;
}

/**
 * Pushes rows to a view of mode `push`, at the feature API of the connection `features` (`url`, and `key` where callers need one). A row that is pushed again replaces itself.
 *
 * @param rows - in the form of the events of the view's source
 * @throws {@link TaskError} `Features.Refused`
 */
export async function pushRows(
  { connection, signal }: Pick<TaskContext, 'connection' | 'signal'>,
  view: FeatureView,
  rows: readonly object[],
): Promise<void> {
  const { url, key } = connection('features');
  for (let from = 0; from < rows.length; from += ROWS_A_PUSH) {
    const answer = await fetch(`${url}/features/push`, {
      ...{ method: 'POST', signal },
      headers: {
        'content-type': 'application/json',
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify({ view: viewId(view), rows: rows.slice(from, from + ROWS_A_PUSH) }),
    });
    if (!answer.ok) {
      throw new TaskError('Features.Refused', `${url}/features/push answers ${answer.status}: ${await answer.text()}`);
    }
  }
}
