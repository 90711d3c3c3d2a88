import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { formatPosition, parsePosition } from '#connectors/kafka/partition_reader';
import { withBroker } from '../parts/with_broker.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { loadSettings } from '../project/project.ts';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { type BackupStore, openBackupStore } from './backup_store.ts';
import { BackupMissingError, RestoreRefusedError } from './errors.ts';
import { isBucket, restoreTree } from './file_tree.ts';
import { folderParts, OFFLINE_PART, offlineFolder } from './folder_parts.ts';
import type { Manifest } from './manifest.ts';
import { restoreBase } from './postgres_base.ts';
import { renameInArchive, renameInSnapshots } from './topic_ids.ts';
import { checkStored, restoreTopic } from './topic_records.ts';

/** Of records in Kafka, beside the names of folders. */
const TOPICS_PART = 'topics';

export interface RestoreOptions {
  readonly only: readonly string[];
  readonly missing: boolean;
  readonly postgresData?: string | undefined;
  readonly until?: string | undefined;
}

/** The folder that a part goes to in a configuration; undefined where it has none there. */
function foldersIn(config: PlatformConfig): ReadonlyMap<string, string> {
  const offline = offlineFolder(config);
  return new Map([
    ...folderParts(config).map(({ name, folder }): [string, string] => [name, folder]),
    ...(offline === undefined ? [] : [[OFFLINE_PART, offline] as [string, string]]),
  ]);
}

/**
 * `headwater restore [ID]`: writes a backup (the newest without ID) to where the configuration of this machine has its folders and topics. Nothing is replaced. With
 * `--postgres-data`, prepares a data directory that a PostgreSQL server recovers from; without it, a server's database is left out.
 */
export async function restore(id: string | undefined, options: RestoreOptions): Promise<void> {
  const config = loadSettings();
  const store = openBackupStore(config);
  const manifest = await store.manifest(id);
  if (options.until !== undefined && options.postgresData === undefined) {
    throw new UsageError('--until is the moment that PostgreSQL recovers to: give --postgres-data as well');
  }
  const untilMs = options.until === undefined ? undefined : Date.parse(options.until);
  if (Number.isNaN(untilMs)) {
    throw new UsageError(`--until "${options.until}" is no time: give one such as 2026-01-31T12:00:00Z`);
  }
  await restoreParts(store, manifest, config, options);
  if (options.postgresData !== undefined) {
    const folder = resolve(options.postgresData);
    const command = `${quotedForShell(process.execPath)} ${quotedForShell(process.argv[1] as string)} backup wal-fetch %f %p`;
    await restoreBase(store, manifest, { folder, untilMs, restoreCommand: command });
    print(
      `postgres: ${folder} recovers ${options.until === undefined ? 'to the end of the log' : `to ${options.until}`} when a server is started there`,
    );
  }
}

const quotedForShell = (path: string): string => `"${path.replaceAll(/(["\\$`])/g, '\\$1')}"`;

/** Writes the parts of a backup into the folders and topics of a configuration. @throws {@link RestoreRefusedError} */
export async function restoreParts(
  store: BackupStore,
  manifest: Manifest,
  config: PlatformConfig,
  { only, missing }: Pick<RestoreOptions, 'only' | 'missing'>,
): Promise<void> {
  const names = [
    ...manifest.parts.map(({ name }) => name),
    ...(Object.keys(manifest.topics).length > 0 ? [TOPICS_PART] : []),
  ];
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new BackupMissingError(`backup ${manifest.id} has no part "${unknown}"; its parts are ${names.join(', ')}`);
  }
  const folders = foldersIn(config);
  for (const part of manifest.parts) {
    if (only.length > 0 && !only.includes(part.name)) continue;
    const folder = folders.get(part.name);
    if (folder === undefined) {
      throw new RestoreRefusedError(
        `the configuration has no folder for part "${part.name}": set it, or name the parts to restore with --only`,
      );
    }
    const written = await restoreTree(store, part, folder, missing);
    print(`${part.name}: ${written} of ${part.files.length} files written to ${folder}`);
  }
  if (names.includes(TOPICS_PART) && (only.length === 0 || only.includes(TOPICS_PART))) {
    await restoreTopics(store, manifest, config);
  }
}

async function restoreTopics(store: BackupStore, manifest: Manifest, config: PlatformConfig): Promise<void> {
  await checkStored(store, manifest.topics);
  await withBroker(config, async (broker) => {
    const ids = new Map<string, string>();
    for (const topic of Object.keys(manifest.topics)) {
      const restored = await restoreTopic(store, broker, topic);
      if (restored.ids !== undefined) ids.set(...(restored.ids as [string, string]));
      print(`${topic}: ${restored.records} records`);
      if (restored.moved.length > 0) {
        process.stderr.write(
          `${topic}: offsets of partitions ${restored.moved.join(', ')} differ from those of before. Remove the restored snapshots, and compute the features anew: headwater features backfill\n`,
        );
        continue;
      }
      const positions = Object.entries(manifest.committed[topic] ?? {}).map(
        ([partition, position]): [string, string] => {
          const { offset, topicId } = parsePosition(position);
          return [partition, formatPosition(offset, topicId === undefined ? undefined : (ids.get(topicId) ?? topicId))];
        },
      );
      if (positions.length > 0) await broker.commit(config.pipeline.group, topic, new Map(positions));
    }
    if (ids.size === 0) return;
    for (const { name, folder } of folderParts(config)) {
      if (isBucket(folder) || !existsSync(folder)) continue;
      if (name === 'snapshots' || name === 'monitor') await renameInSnapshots(folder, ids);
      if (name === 'archive') await renameInArchive(folder, ids);
    }
  });
}
