import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { servicesById } from '#feature_store/definitions/feature_service';
import { assetPath } from '#kernel/project_root';
import { hideSecretFields } from '#kernel/secrets';
import { systemClock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import { openRegistry } from '../parts/open_registry.ts';
import { withBroker } from '../parts/with_broker.ts';
import { withOffline } from '../parts/with_offline.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { loadProject, type Project } from '../project/project.ts';
import { print, printList } from '../terminal/print.ts';
import { type BackupStore, openBackupStore } from './backup_store.ts';
import { BackupDamagedError, BackupFailedError } from './errors.ts';
import { isBucket, storeBucket, storeFolder } from './file_tree.ts';
import { type FolderPart, folderParts, OFFLINE_PART, offlineFolder } from './folder_parts.ts';
import type { Manifest, StoredPart } from './manifest.ts';
import { storeBase } from './postgres_base.ts';
import { stage } from './stage.ts';
import { checkStored, followTopics, storedOffsets, storedRecords, TopicCopies } from './topic_records.ts';

/** Records that nothing else can give: rows of features are computed from them. */
export const topicsToStore = ({ broker, topics }: PlatformConfig): readonly string[] =>
  broker.kind === 'kafka' ? [topics.rawEvents, topics.deadLetters, topics.predictions] : [];

const versionOfPackage = (): string =>
  (JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as { version: string }).version;

/** What a backup came to. */
export interface BackupSummary {
  readonly id: string;
  readonly parts: readonly string[];
  readonly bytes: number;
  /** New and compressed. */
  readonly writtenBytes: number;
  readonly ms: number;
  /** Ids of expired backups. */
  readonly removed: readonly string[];
}

/** Writes one backup of all that the platform keeps, beside the platform that runs, and removes expired ones. */
export async function backUpPlatform(project: Project): Promise<BackupSummary> {
  const store = openBackupStore(project);
  const manifest = await backUp(project, store);
  const removed = await removeExpired(store, project);
  const bytes = manifest.parts.flatMap(({ files }) => files).reduce((sum, file) => sum + file.bytes, 0);
  return {
    id: manifest.id,
    parts: manifest.parts.map(({ name }) => name),
    bytes: bytes + (manifest.postgres?.base.bytes ?? 0),
    writtenBytes: store.writtenBytes,
    ms: Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt),
    removed,
  };
}

/** Returns what a backup came to, for people. */
export const backupLine = ({ bytes, writtenBytes, ms, removed }: BackupSummary): string =>
  `${bytes} bytes, of which ${writtenBytes} were new (compressed), in ${ms} ms; removed ${removed.length} expired backups`;

/** `headwater backup create`: one backup, whose id is printed. */
export async function createBackup({ json }: { readonly json: boolean }): Promise<void> {
  const project = await loadProject();
  const summary = await backUpPlatform(project);
  print(json ? JSON.stringify(summary) : summary.id);
  process.stderr.write(`${backupLine(summary)}\n`);
  const { features } = project.offlineStore;
  if (features !== undefined)
    process.stderr.write(
      `the rows of features are in the offline store "${features.use}" of the project: they are not in the backup\n`,
    );
}

async function backUp(project: Project, store: BackupStore): Promise<Manifest> {
  const startedAt = new Date(systemClock.now()).toISOString();
  const id = `${startedAt.slice(0, 19).replaceAll(/[-:]/g, '')}Z-${randomUUID().slice(0, 6)}`;
  const before = await newestReadable(store);
  const earlier = (name: string): StoredPart | undefined => before?.parts.find((part) => part.name === name);
  const parts: StoredPart[] = [];
  const snapshots = await newestSnapshots(project);
  const folders = folderParts(project);
  // What refers to records and rows, before these: the stream computes again what came after its snapshot.
  const log = folders.filter(({ name }) => name === 'log' || name === 'spool');
  for (const part of folders.filter((each) => !log.includes(each))) await storePart(store, part, earlier, parts);
  const { catalog: _, models: __, extensions: ___, ...config } = project;
  const offline = await withOffline(project, async (database) => {
    const rows = await database.countRows();
    const folder = offlineFolder(project);
    if (folder !== undefined) {
      const staged = join(dirname(resolve(folder)), `.backup-${randomUUID().slice(0, 8)}`);
      try {
        await database.copyFiles(staged);
        parts.push(await storeFolder(store, OFFLINE_PART, staged, earlier(OFFLINE_PART)));
      } finally {
        await rm(staged, { recursive: true, force: true });
      }
    }
    const { offlineStore } = project;
    return {
      rows,
      postgres: offlineStore.kind === 'postgres' ? await storeBase(store, offlineStore, database.sql) : undefined,
    };
  });
  for (const part of log) await storePart(store, part, earlier, parts);
  const { topics, committed } = await storeTopics(project, store);
  const manifest: Manifest = {
    ...{ format: 1, id, startedAt, finishedAt: new Date(systemClock.now()).toISOString(), version: versionOfPackage() },
    configuration: hideSecretFields(config, '(set)'),
    definitions: Object.fromEntries(
      [...servicesById(project.catalog)].map(([name, service]) => [name, service.signature.fingerprint]),
    ),
    ...{ parts, rows: offline.rows, topics, committed, snapshots, registry: await versionsIn(project) },
    ...(offline.postgres === undefined ? {} : { postgres: offline.postgres }),
  };
  await store.writeManifest(manifest);
  return manifest;
}

/** An earlier backup saves reading files again; one that is damaged is not used. */
async function newestReadable(store: BackupStore): Promise<Manifest | undefined> {
  const newest = (await store.ids()).at(-1);
  if (newest === undefined) return undefined;
  try {
    return await store.manifest(newest);
  } catch (error) {
    if (!(error instanceof BackupDamagedError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return undefined;
  }
}

async function storePart(
  store: BackupStore,
  { name, folder, includes }: FolderPart,
  earlier: (name: string) => StoredPart | undefined,
  parts: StoredPart[],
): Promise<void> {
  if (isBucket(folder)) {
    parts.push(await storeBucket(store, name, folder));
    return;
  }
  const staged = await stage(folder, includes);
  if (staged === undefined) return;
  try {
    parts.push(await storeFolder(store, name, staged.folder, earlier(name)));
  } finally {
    await staged.remove();
  }
}

async function newestSnapshots({ dataDirectory }: PlatformConfig): Promise<string[]> {
  const names = await readdir(join(dataDirectory, 'snapshots')).catch(() => []);
  return names.filter((name) => /^snapshot-\d+\.bin$/.test(name)).sort();
}

async function storeTopics(project: Project, store: BackupStore): Promise<Pick<Manifest, 'topics' | 'committed'>> {
  const topics: Record<string, Manifest['topics'][string]> = {};
  const committed: Record<string, Record<string, string>> = {};
  const names = topicsToStore(project);
  if (names.length === 0) return { topics, committed };
  await withBroker(project, async (broker) => {
    for (const topic of names) {
      committed[topic] = Object.fromEntries(await broker.committed(project.pipeline.group, topic));
      await using copies = new TopicCopies(store, broker, [topic]);
      await copies.storeNew();
      topics[topic] = await storedOffsets(store, topic);
    }
  });
  return { topics, committed };
}

async function versionsIn(project: Project): Promise<Manifest['registry']> {
  const registry = openRegistry(project);
  try {
    const versions: Manifest['registry'] = {};
    for (const name of await registry.listModels()) {
      versions[name] = (await registry.listVersions(name)).map(({ version, stage: at, aliases, tags }) => ({
        ...{ version, stage: at, aliases: [...aliases], tags: { ...tags } },
      }));
    }
    return versions;
  } finally {
    await registry.close();
  }
}

/** Removes backups that are older than `backup.keep`, and what only these needed. The newest backup stays. @returns ids */
async function removeExpired(store: BackupStore, { backup }: PlatformConfig): Promise<readonly string[]> {
  const oldestMs = systemClock.now() - durationMs(backup.keep);
  const manifests = await store.manifests();
  const expired = manifests.slice(0, -1).filter(({ startedAt }) => Date.parse(startedAt) < oldestMs);
  if (expired.length === 0) return [];
  for (const { id } of expired) await store.remove(`backups/${id}`);
  const kept = manifests.filter((manifest) => !expired.includes(manifest));
  await store.removeUnused(kept);
  // Segments of a timeline sort by their position. History files and labels are small, and stay.
  const first = kept.flatMap(({ postgres }) => (postgres === undefined ? [] : [postgres.segment])).sort()[0];
  if (first !== undefined) {
    for (const name of await store.list('wal')) {
      if (/^[0-9A-F]{24}$/.test(name) && name.slice(8) < first.slice(8)) await store.remove(`wal/${name}`);
    }
  }
  return expired.map(({ id }) => id);
}

/** `headwater backup list`: ids, moments and what is in them, the oldest first. */
export async function listBackups({ json }: { readonly json: boolean }): Promise<void> {
  const { loadSettings } = await import('../project/project.ts');
  const store = openBackupStore(loadSettings());
  const listed = (await store.manifests()).map(({ id, startedAt, parts, postgres, rows, topics, registry }) => ({
    ...{ id, startedAt, parts: [...parts.map(({ name }) => name), ...(postgres === undefined ? [] : ['postgres'])] },
    ...{ postgres: postgres?.lsn, rows, topics, registry },
  }));
  printList(listed, {
    json,
    line: ({ id, parts, rows, registry }) => {
      const rowCount = Object.values(rows).reduce((sum, count) => sum + count, 0);
      return `${id}  ${parts.join(', ')}  ${rowCount} rows  ${Object.values(registry).flat().length} versions of models`;
    },
    empty: 'no backups: headwater backup create',
  });
}

/** `headwater backup verify [ID]`: reads all that a backup consists of; exit code 1 when something is missing or damaged. */
export async function verifyBackup(id: string | undefined): Promise<void> {
  const { loadSettings } = await import('../project/project.ts');
  const store = openBackupStore(loadSettings());
  const manifest = await store.manifest(id);
  let bytes = 0;
  const stored = [
    ...manifest.parts.flatMap(({ files }) => files),
    ...(manifest.postgres === undefined ? [] : [manifest.postgres.base]),
  ];
  for (const each of stored) for await (const object of store.read(each)) bytes += object.length;
  await checkStored(store, manifest.topics);
  for (const [topic, partitions] of Object.entries(manifest.topics)) {
    for (const partition of Object.keys(partitions)) {
      for await (const each of storedRecords(store, topic, partition)) bytes += each.bytes;
    }
  }
  print(`${manifest.id}: ${stored.length} files, ${bytes} bytes, no damage`);
}

/** `headwater backup follow`: stores new records of Kafka's topics until SIGTERM. */
export async function followRecords({ every }: { readonly every: number }): Promise<void> {
  const { loadSettings } = await import('../project/project.ts');
  const config = loadSettings();
  const topics = topicsToStore(config);
  if (topics.length === 0) {
    throw new BackupFailedError(
      `broker.kind is ${config.broker.kind}: only records of Kafka are stored by themselves. On Kinesis and Pub/Sub, switch the archive on and put it into a bucket; the log on disk is part of each backup`,
    );
  }
  const ended = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort());
  const store = openBackupStore(config);
  await withBroker(config, async (broker) => {
    await using copies = new TopicCopies(store, broker, topics);
    await followTopics(copies, {
      ...{ everyMs: every * 1_000, signal: ended.signal },
      onRound: (records) => {
        if (records > 0) print(JSON.stringify({ at: new Date(systemClock.now()).toISOString(), records }));
      },
    });
  });
}
