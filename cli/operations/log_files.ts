import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { messageOf, PlatformError } from '#kernel/errors';
import { silentLogger } from '#monitoring/log';
import { SnapshotStore } from '#pipelines/runner/snapshot_store';
import { LocalRegistry } from '#registry/local/local_registry';
import { FolderLock, holderOf } from '#storage/folder_lock';
import { checkLog, type Damage } from '#storage/log_check';
import { repairLog } from '#storage/log_repair';
import { listSegments, MARK_FILE } from '#storage/segment_files';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { loadSettings } from '../project/project.ts';
import { JsonArray, print } from '../terminal/print.ts';

/** A log of records, and whose lock covers it. */
interface Place {
  /** What it is of the platform. */
  readonly what: string;
  readonly folder: string;
  readonly owned: string;
  readonly at: string;
}

/** `headwater log verify [FOLDER...]`: every log, spool, online store and snapshot there is, checked to the last byte; exit code 1 for damage. */
export async function verifyLogs(folders: readonly string[], { json }: { readonly json: boolean }): Promise<void> {
  const config = loadSettings();
  const array = new JsonArray();
  let damaged = 0;
  for (const { what, folder, owned, at } of await placesOf(config, folders)) {
    // What a process is writing changes while it is read: it has checked it when it started.
    const holder = await holderOf(owned, at);
    const checked = holder === undefined ? await checkLog(folder) : undefined;
    damaged += checked?.damage.length ?? 0;
    const records = checked?.segments.reduce((sum, segment) => sum + segment.records, 0);
    const { damage = [], tornTail } = checked ?? {};
    const inUseBy = holder === undefined ? undefined : { pid: holder.pid, host: holder.host };
    if (json) array.add({ what, folder, records, damage, tornTail: tornTail?.problem, inUseBy });
    else if (holder === undefined) print(`${folder}: ${describe(records ?? 0, damage)}`);
    else print(`${folder}: in use by process ${holder.pid} on ${holder.host}, which checked it when it started`);
  }
  const problems = folders.length === 0 ? await verifyOthers(config) : [];
  for (const problem of problems) {
    if (json) array.add(problem);
    else print(`${problem.folder}: ${problem.problem}`);
  }
  if (json) array.end();
  damaged += problems.length;
  if (damaged > 0) process.exitCode = 1;
}

const describe = (records: number, damage: readonly Damage[]): string =>
  damage.length === 0
    ? `${records} records, no damage`
    : `${records} records before the damage${damage.map(({ file, atByte, problem }) => `\n  ${file}, byte ${atByte}: ${problem}`).join('')}`;

interface Problem {
  readonly what: string;
  readonly folder: string;
  readonly problem: string;
}

/** Snapshots and the registry have files of their own forms: reading them checks them. */
async function verifyOthers(config: PlatformConfig): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  const attempt = async (what: string, folder: string, read: () => Promise<unknown>): Promise<void> => {
    if (!existsSync(folder)) return;
    try {
      await read();
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      problems.push({ what, folder, problem: messageOf(error) });
    }
  };
  for (const name of ['snapshots', 'monitor']) {
    const folder = join(config.dataDirectory, name);
    await attempt('snapshots', folder, () => new SnapshotStore(folder, silentLogger).load());
  }
  if (config.registry.kind === 'local') {
    const { directory } = config.registry;
    const registry = new LocalRegistry(config.registry);
    await attempt('registry', directory, async () => {
      for (const name of await registry.listModels()) {
        for (const version of await registry.listVersions(name)) await registry.download(version);
      }
    });
  }
  return problems;
}

/** `headwater log repair [FOLDER...]`: moves what is damaged aside, and reports what was in it. */
export async function repairLogs(folders: readonly string[], { json }: { readonly json: boolean }): Promise<void> {
  const array = new JsonArray();
  for (const { what, folder, owned, at } of await placesOf(loadSettings(), folders)) {
    const lock = await FolderLock.acquire(owned, { at });
    try {
      const { damage, moved, lost, records } = await repairLog(folder);
      if (json) {
        array.add({ what, folder, records, damage, moved, lost });
        continue;
      }
      print(`${folder}: ${damage.length === 0 ? `${records} records, nothing to repair` : `${records} records kept`}`);
      for (const { from, to } of lost) print(`  records ${from} to ${to} are lost`);
      for (const part of moved) {
        print(`  bytes ${part.fromByte} to ${part.toByte} of ${part.file} are in ${part.movedTo}`);
        if (part.text !== '') print(`    ${part.text}`);
      }
    } finally {
      await lock.release();
    }
  }
  if (json) array.end();
}

async function placesOf(config: PlatformConfig, folders: readonly string[]): Promise<readonly Place[]> {
  const { broker, onlineStore, gateway } = config;
  const known: [string, string | undefined][] = [
    ['broker', broker.kind === 'disk_log' ? broker.directory : undefined],
    ['online store', onlineStore.kind === 'memory' ? `${onlineStore.file}.changes` : undefined],
    ['spool', gateway.spool?.directory],
  ];
  const wanted = folders.length > 0 ? folders.map((folder) => ['log', folder] as const) : known;
  const places: Place[] = [];
  for (const [what, folder] of wanted) {
    if (folder === undefined) continue;
    for (const log of await logsBelow(resolve(folder))) places.push({ what, folder: log, ...ownerOf(log) });
  }
  return places;
}

const CHANGES = /\.changes$/;

/** Where the process that has a log keeps its lock: partitions are locked with the whole log, records of a spool with the spool. */
function ownerOf(log: string): { readonly owned: string; readonly at: string } {
  const above = dirname(log);
  if (CHANGES.test(log)) return { owned: above, at: log.replace(CHANGES, '.lock') };
  const isPartition = existsSync(join(above, 'topic.json')) || /^\d+$/.test(basename(log));
  const owned = isPartition ? dirname(above) : basename(log) === 'records' ? above : log;
  return { owned, at: join(owned, '.lock') };
}

/** Returns the folders of logs at or below a folder. */
export async function logsBelow(folder: string): Promise<string[]> {
  if (basename(folder).startsWith('.') || !existsSync(folder)) return [];
  const entries = await readdir(folder, { withFileTypes: true });
  const isLog = entries.some(({ name }) => name === MARK_FILE) || (await listSegments(folder)).length > 0;
  const below = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map((entry) => logsBelow(join(folder, entry.name))),
  );
  return [...(isLog ? [folder] : []), ...below.flat()];
}
