import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type FileSystem, pathIn, readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { messageOf } from '#kernel/errors';
import { type Clock, DAY_MS, systemClock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { AuditEntry } from '#registry/lifecycle/lifecycle';
import { REPORT_FILE } from '#registry/model_folder';
import type { ModelRegistry, ModelVersion, Stage } from '#registry/model_registry';
import type { ModelPackage } from '#registry/packages/model_package';
import { ONNX_FILE, PACKAGE_FILE, packageDocument, sha256 } from '#registry/packages/package_files';
import type { Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { PREFIXES } from './layout.ts';

/** What of the platform keeps a log in the object store. */
export type LogKind = 'training' | 'promotion' | 'prediction' | 'crawl';

/** Of a version: where its files are, and what they are. */
export interface VersionMetadata {
  readonly model: string;
  readonly version: number;
  readonly stage: Stage;
  /** Prefix of its files; null for a version that is neither in production nor archived. */
  readonly path: string | null;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly tags: Readonly<Record<string, string>>;
  /** The promotion, rollback or archival that it came there by; null where that was not seen. */
  readonly change: Pick<AuditEntry, 'action' | 'by' | 'reason'> | null;
  readonly writtenAt: string;
}

const FILES_OF_A_SET = ['data.csv', 'data.parquet', 'manifest.json'];
const FILES_OF_A_MODEL = [ONNX_FILE, PACKAGE_FILE, 'card.json', 'statistics.json', 'manifest.json', 'trials.json'];

/** Keeps what the platform makes in one place, a prefix for each kind: docs/models.md, "In an object store". */
export class ObjectStore {
  readonly root: string;
  readonly #files: FileSystem;
  readonly #clock: Clock;
  readonly #keepLogsMs: number;

  /** @param root - a folder, or s3://bucket/prefix */
  constructor(root: string, keepLogsMs: number, clock: Clock = systemClock, files = createFileSystems()(root)) {
    this.root = root;
    this.#files = files;
    this.#clock = clock;
    this.#keepLogsMs = keepLogsMs;
  }

  /**
   * Keeps what a training has read and made: the set in `processed/`, the model in `training/`, how it was judged in `validation/`, and its lines in the logs.
   *
   * @param trainingSet - folder of data and manifest
   * @param out - folder of the model, its card and its report
   */
  async keepTraining(
    model: string,
    {
      trainingSet,
      out,
      lines,
    }: { readonly trainingSet: string; readonly out: string; readonly lines: readonly string[] },
  ): Promise<void> {
    const run = this.#stamp();
    const set = await this.#copy(
      trainingSet,
      FILES_OF_A_SET,
      (hash) => `${PREFIXES.processed}/model=${model}/set=${hash}`,
    );
    const kept = await this.#copy(out, FILES_OF_A_MODEL, () => `${PREFIXES.training}/model=${model}/run=${run}`);
    const judged = await this.#copy(
      out,
      [REPORT_FILE, 'card.json'],
      () => `${PREFIXES.validation}/model=${model}/run=${run}`,
    );
    await this.log('training', model, [...lines, ...set, ...kept, ...judged]);
  }

  /** Copies files of a folder, those that are there, below a prefix that their contents may name. @returns their paths */
  async #copy(
    folder: string,
    names: readonly string[],
    prefixOf: (hash: string) => string,
  ): Promise<readonly string[]> {
    const found: { readonly name: string; readonly bytes: Buffer }[] = [];
    for (const name of names) {
      const bytes = await readFile(pathIn(folder, name)).catch(() => undefined);
      if (bytes !== undefined) found.push({ name, bytes });
    }
    const prefix = prefixOf(sha256(found.map(({ bytes }) => sha256(bytes)).join()).slice(0, 16));
    const paths = found.map(({ name }) => pathIn(this.root, `${prefix}/${name}`));
    for (const [at, { bytes }] of found.entries()) await this.#files.write(paths[at] as string, bytes);
    return paths;
  }

  /**
   * Brings `production/`, `archive/` and `metadata/` in line with the stages of a model's versions. Repeated, it changes nothing; a version is written to its new place before it is removed from the old one.
   *
   * @param change - why, where it is known
   * @returns the versions that have moved
   * @throws {@link CommandFailedError} naming the versions that the registry does not give; the others have moved
   */
  async syncVersions(registry: ModelRegistry, model: string, change?: AuditEntry): Promise<readonly ModelVersion[]> {
    const moved: ModelVersion[] = [];
    const failed: string[] = [];
    const versions = await registry.listVersions(model);
    // What answers first: production is never without a version.
    for (const version of [...versions].sort((a, b) => placeOrder(a.stage) - placeOrder(b.stage))) {
      const metadataPath = pathIn(this.root, `${PREFIXES.metadata}/model=${model}/version=${version.version}.json`);
      const known = await this.#metadata(metadataPath);
      if (known?.stage === version.stage) continue;
      const prefix = placeOf(version);
      const path = prefix === undefined ? null : pathIn(this.root, prefix);
      let contents: ModelPackage;
      try {
        contents = await registry.download(version);
      } catch (error) {
        // The others are kept all the same.
        failed.push(`${model} ${version.version}: ${messageOf(error)}`);
        continue;
      }
      const files = { [ONNX_FILE]: contents.onnx, [PACKAGE_FILE]: Buffer.from(packageDocument(contents)) };
      if (path !== null) {
        for (const [name, bytes] of Object.entries(files)) await this.#files.write(pathIn(path, name), bytes);
      }
      const metadata: VersionMetadata = {
        ...{ model, version: version.version, stage: version.stage, path },
        files: Object.fromEntries(
          Object.entries(files).map(([name, bytes]) => [name, { bytes: bytes.byteLength, sha256: sha256(bytes) }]),
        ),
        ...{ metrics: version.metrics, tags: version.tags },
        change: change === undefined ? null : { action: change.action, by: change.by, reason: change.reason },
        writtenAt: new Date(this.#clock.now()).toISOString(),
      };
      const before = known?.path ?? null;
      if (before !== null && before !== path) {
        for (const name of Object.keys(known?.files ?? {})) await this.#files.remove(pathIn(before, name));
      }
      // Last: what was interrupted before is done again.
      await this.#files.write(metadataPath, Buffer.from(`${JSON.stringify(metadata, null, 1)}\n`));
      moved.push(version);
    }
    if (moved.length > 0) {
      const lines = moved.map(({ version, stage }) => `${model} ${version} is ${stage}`);
      const why =
        change === undefined ? [] : [`${change.action} of ${change.version} by ${change.by}: ${change.reason}`];
      await this.log('promotion', model, [...why, ...lines]);
    }
    if (failed.length > 0) throw new CommandFailedError(`not kept in ${this.root}: ${failed.join('; ')}`);
    return moved;
  }

  async #metadata(path: string): Promise<VersionMetadata | undefined> {
    if ((await this.#files.glob(path)).length === 0) return undefined;
    return JSON.parse((await readWhole(this.#files, path)).toString('utf8')) as VersionMetadata;
  }

  /** Keeps how contracts of views held: `validation/contracts/date=…/`. */
  async keepContracts(terms: readonly object[]): Promise<void> {
    const stamp = this.#stamp();
    const path = `${PREFIXES.validation}/contracts/date=${stamp.slice(0, 10)}/${stamp.slice(11)}.jsonl`;
    const lines = terms.map((term) => `${JSON.stringify(term)}\n`);
    await this.#files.write(pathIn(this.root, path), Buffer.from(lines.join('')));
  }

  /** Writes lines to the logs of a kind, and removes logs that are older than they are kept. */
  async log(kind: LogKind, name: string, lines: readonly string[]): Promise<void> {
    const stamp = this.#stamp();
    const path = `${PREFIXES.logs}/kind=${kind}/date=${stamp.slice(0, 10)}/${name}-${stamp.slice(11)}.log`;
    await this.#files.write(pathIn(this.root, path), Buffer.from(lines.map((line) => `${line}\n`).join('')));
    await this.pruneLogs();
  }

  /** Removes logs of days that are past the time they are kept. @returns how many */
  async pruneLogs(): Promise<number> {
    let removed = 0;
    for (const path of await this.#files.glob(pathIn(this.root, `${PREFIXES.logs}/kind=*/date=*/*`))) {
      const day = Date.parse(/\/date=(\d{4}-\d{2}-\d{2})\//.exec(path)?.[1] ?? '');
      if (Number.isNaN(day) || day + DAY_MS > this.#clock.now() - this.#keepLogsMs) continue;
      await this.#files.remove(path);
      removed += 1;
    }
    return removed;
  }

  /** Of a moment, as names of objects have it: `2026-11-29T17:41:23.512Z` with `-` for `:`. */
  #stamp(): string {
    return new Date(this.#clock.now()).toISOString().replaceAll(':', '-');
  }
}

const placeOf = ({ name, version, stage }: ModelVersion): string | undefined => {
  if (stage === 'Production') return `${PREFIXES.production}/model=${name}/version=${version}`;
  return stage === 'Archived' ? `${PREFIXES.archive}/model=${name}/version=${version}` : undefined;
};

const placeOrder = (stage: Stage): number => (stage === 'Production' ? 0 : 1);

/** Returns the object store of the settings; undefined where none is set. */
export function objectStoreOf({ objectStore }: Pick<Project, 'objectStore'>): ObjectStore | undefined {
  const { directory, keepLogs } = objectStore;
  if (directory === undefined) return undefined;
  // Tables are named by what follows it in paths, which are absolute.
  const root = directory.startsWith('s3://') ? directory.replace(/\/+$/, '') : resolve(directory);
  return new ObjectStore(root, durationMs(keepLogs));
}

/** Keeps something in the object store, where one is set. What was done stays done when the store cannot be written: a line on standard error says that it is missing there. */
export async function keepInStore(
  project: Pick<Project, 'objectStore'>,
  keep: (store: ObjectStore) => Promise<unknown>,
): Promise<void> {
  const store = objectStoreOf(project);
  if (store === undefined) return;
  await keep(store).catch((error: unknown) => {
    process.stderr.write(`done, but not kept in the object store ${store.root}: ${messageOf(error)}\n`);
  });
}
