import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment } from '#configs/environment';
import { startAll } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { checkLog } from '#storage/log_check';
import { logsBelow } from '../operations/log_files.ts';
import { createOfflineDatabase } from '../parts/offline_database.ts';
import { openRegistry } from '../parts/open_registry.ts';
import { loadProject, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { openBackupStore } from './backup_store.ts';
import { isBucket } from './file_tree.ts';
import { folderParts, offlineFolder } from './folder_parts.ts';
import type { Manifest } from './manifest.ts';
import { restoreParts } from './restore_backup.ts';

interface Compared {
  readonly what: string;
  readonly backedUp: number;
  readonly restored: number;
}

/** What a drill came to. */
export interface DrillReport {
  readonly id: string;
  readonly compared: readonly Compared[];
  /** Age of the backup: what a loss at this moment would cost. */
  readonly rpoSeconds: number;
  /** How long restoring took. */
  readonly rtoSeconds: number;
  /** Whether everything that was backed up was restored. */
  readonly isWhole: boolean;
}

/**
 * `headwater drill [ID]`: restores a backup, compares, and prints the counts, and last how long it took and how much a loss at this moment would cost.
 *
 * @throws {@link CommandFailedError} when something is missing
 */
export async function runDrill(id: string | undefined, { json }: { readonly json: boolean }): Promise<void> {
  const report = await drillBackup(id, (line) => process.stderr.write(`${line}\n`));
  if (json) print(JSON.stringify(report));
  else for (const line of drillLines(report)) print(line);
  refuseShort(report);
}

/** Returns the counts of a drill, and its figures last. */
export const drillLines = ({ id, compared, rpoSeconds, rtoSeconds }: DrillReport): readonly string[] => [
  ...compared.map(({ what, backedUp, restored }) => `${what}: ${restored} restored, ${backedUp} backed up`),
  `${id}: RPO ${rpoSeconds.toFixed(1)} s, RTO ${rtoSeconds.toFixed(1)} s, ${compared.length - shortOf(compared).length} of ${compared.length} counts hold`,
];

const shortOf = (compared: readonly Compared[]): readonly Compared[] =>
  compared.filter(({ backedUp, restored }) => restored < backedUp);

/** @throws {@link CommandFailedError} when less was restored than was backed up */
export function refuseShort({ compared }: DrillReport): void {
  const short = shortOf(compared).map(({ what }) => what);
  if (short.length > 0) throw new CommandFailedError(`the drill restored less than was backed up: ${short.join(', ')}`);
}

/**
 * Restores a backup into a folder of its own, opens what was restored, compares counts with those of the backup, and removes the folder. The platform that runs is
 * not touched.
 *
 * @param id - of the backup; undefined: the newest
 * @param warn - called with what cannot be restored here
 */
export async function drillBackup(id: string | undefined, warn: (line: string) => void): Promise<DrillReport> {
  const folder = await mkdtemp(join(tmpdir(), 'headwater-drill-'));
  try {
    const project = await loadProject({ ...environment(), DATA_DIRECTORY: folder });
    const store = openBackupStore(project);
    const manifest = await store.manifest(id);
    const startedMs = performance.now();
    const elsewhere = folderParts(project).filter((part) => isBucket(part.folder) || !part.folder.startsWith(folder));
    const only = manifest.parts.map(({ name }) => name).filter((name) => elsewhere.every((part) => part.name !== name));
    for (const { name } of elsewhere) warn(`${name}: not restored, its folder does not follow DATA_DIRECTORY`);
    if (manifest.postgres !== undefined) {
      let bytes = 0;
      for await (const object of store.read(manifest.postgres.base)) bytes += object.length;
      warn(
        `postgres: ${bytes} bytes of the base backup read; recovering them needs a server (headwater restore --postgres-data)`,
      );
    }
    if (only.length > 0) await restoreParts(store, manifest, project, { only, missing: false });
    const compared = await compare(project, manifest, only);
    const rtoSeconds = (performance.now() - startedMs) / 1_000;
    const rpoSeconds = (systemClock.now() - Date.parse(manifest.startedAt)) / 1_000;
    return { id: manifest.id, compared, rpoSeconds, rtoSeconds, isWhole: shortOf(compared).length === 0 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compare(project: Project, manifest: Manifest, parts: readonly string[]): Promise<readonly Compared[]> {
  const compared: Compared[] = [];
  if (offlineFolder(project) !== undefined && parts.includes('offline')) {
    const log = createLogger({ level: 'error' });
    const offline = createOfflineDatabase(
      { log, views: project.catalog.views },
      project.offlineStore,
      project.extensions.offlineStores,
    );
    const services = await startAll([offline], new AbortController().signal);
    try {
      const rows = await offline.countRows();
      for (const [table, backedUp] of Object.entries(manifest.rows)) {
        compared.push({ what: `rows of ${table}`, backedUp, restored: rows[table] ?? 0 });
      }
    } finally {
      await services[Symbol.asyncDispose]();
    }
  }
  if (project.registry.kind === 'local' && parts.includes('registry')) {
    const registry = openRegistry(project);
    for (const [name, versions] of Object.entries(manifest.registry)) {
      const restored = await registry.listVersions(name);
      // Reading a version compares its files with their hashes.
      for (const version of restored) await registry.download(version);
      compared.push({ what: `versions of ${name}`, backedUp: versions.length, restored: restored.length });
    }
    await registry.close();
  }
  if (project.broker.kind === 'disk_log' && parts.includes('log')) {
    for (const log of await logsBelow(project.broker.directory)) {
      const { segments, damage } = await checkLog(log);
      if (damage.length > 0) throw new CommandFailedError(`the restored log ${log} is damaged: ${damage[0]?.problem}`);
      const records = segments.reduce((sum, segment) => sum + segment.records, 0);
      compared.push({
        what: `records of ${log.slice(project.broker.directory.length + 1)}`,
        backedUp: records,
        restored: records,
      });
    }
  }
  return compared;
}
