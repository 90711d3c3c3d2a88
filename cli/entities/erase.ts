import { countOf, type DataSubject, dataSubject } from '#feature_store/data_subjects/erasable';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type EntityData, withEntityData } from '../data_subjects/entity_data.ts';
import { counted, eraseSubject } from '../data_subjects/erase_subject.ts';
import { RunningPlatform } from '../parts/control_client.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { entityKeysOf } from '../project/config/entity_option.ts';
import { definitionsOf, loadProject, type Project } from '../project/project.ts';
import { createFeatureJob } from '../roles/pipeline_service.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { createProgress } from '../terminal/progress.ts';
import { UsageError } from '../terminal/usage_error.ts';

export interface EraseOptions {
  /** Whose id it is. */
  readonly entity?: string;
  readonly dryRun: boolean;
  readonly yes: boolean;
  /** How long to wait for the feature pipeline, seconds. */
  readonly wait?: number;
}

const DEFAULT_WAIT_S = 120;

/**
 * `headwater entities erase user:x9`, or `headwater entities erase x9 --entity user`: all that the platform keeps of an entity, in stores, topics, files and the feature
 * pipeline's state; a JSON line of how much that was, by place.
 */
export async function eraseEntity(text: string, options: EraseOptions): Promise<void> {
  const { entity, dryRun, yes, wait = DEFAULT_WAIT_S } = options;
  if (!dryRun && !yes)
    throw new UsageError(`this cannot be undone: --yes erases ${text}, --dry-run counts what there is`);
  const config = await loadProject();
  const keys = entityKeysOf(config.catalog, text, entity);
  await withEntityData(config, async (data) => {
    const key = await chooseKey(data.offline, text, keys);
    const subject = dataSubject(key, config.catalog.views);
    if (dryRun) {
      const counts = await counted([...data.stores, ...data.records], (place) => countOf(place, subject));
      print(JSON.stringify({ entity: key, erased: false, ...counts }));
      return;
    }
    const isApplied = await erase(config, data, subject, wait * 1_000);
    if (!isApplied) process.exitCode = 1;
  });
}

/** @returns whether the feature pipeline has forgotten the entity as well */
async function erase(config: Project, data: EntityData, subject: DataSubject, waitMs: number): Promise<boolean> {
  const progress = createProgress(process.stderr);
  const { counts, isApplied } = await eraseSubject(config, data, subject, {
    waitMs,
    begin: (what) => progress.begin(what),
    whileRead: (look) => whileRead(config, data, look),
  });
  print(JSON.stringify({ entity: subject.key, erased: true, pipeline: isApplied ? 'applied' : 'pending', ...counts }));
  if (!isApplied) {
    process.stderr.write(
      'the feature pipeline has not read the erasure: it forgets the entity when it does, as soon as it runs. Run this command again then, for topics and files\n',
    );
  }
  for (const { place, stays } of [...data.stores, ...data.records])
    if (stays !== undefined) process.stderr.write(`${place}: ${stays}\n`);
  return isApplied;
}

/** Waits for the pipeline that runs; where none can, because its folders are free, it runs here until then. */
async function whileRead(config: Project, data: EntityData, look: () => Promise<boolean>): Promise<boolean> {
  const isElsewhere = data.broker.kind !== 'disk_log' || (await RunningPlatform.find(config, 'broker')) !== undefined;
  if (isElsewhere) return look();
  const { views } = definitionsOf(config);
  const log = createLogger({ level: 'error' });
  const { job } = createFeatureJob(
    { ...data, views, log, metrics: createMetricsRegistry({ process: false }), clock: systemClock },
    config,
  );
  try {
    await job.start();
    return await look();
  } finally {
    await job.drain();
    await job.stop();
  }
}

/** The only one of which anything is known. @throws {@link CommandFailedError} naming the entities */
export async function chooseKey(store: OfflineDatabase, text: string, keys: readonly EntityKey[]): Promise<EntityKey> {
  const [first, ...others] = keys;
  if (first === undefined) throw new CommandFailedError(`"${text}" is no id of any entity`);
  if (others.length === 0) return first;
  const known: EntityKey[] = [];
  for (const key of keys) {
    const counts = Object.values(await store.subjects.erase(key, true)) as number[];
    if (counts.some((rows) => rows > 0)) known.push(key);
  }
  const [only, ...more] = known;
  if (only !== undefined && more.length === 0) return only;
  throw new CommandFailedError(
    only === undefined
      ? `history knows nothing of "${text}": name its entity, such as ${first}, to erase what is online`
      : `"${text}" is an id of several entities: erase ${known.join(' or ')}, or add --entity`,
  );
}
