import { type FileSystem, pathIn, readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import type { JsonObject } from '#kernel/json';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import { type BATCH_FORMATS, donePathOf, type PartScored, partsOf, type ScorePart } from '#serving/batch/score_files';
import { runPipeline } from '../jobs/run_pipeline.ts';
import { keepInStore } from '../object_store/object_store.ts';
import { DEFAULT_STATE_CACHE_MB } from '../terminal/choices.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { createProgress } from '../terminal/progress.ts';
import { withRegistry } from './models.ts';

export interface BatchPredictOptions {
  readonly in: readonly string[];
  readonly out: string;
  readonly format: (typeof BATCH_FORMATS)[number];
  readonly keep?: readonly string[];
  readonly modelVersion?: number;
  readonly stage: 'Production' | 'Staging';
  readonly threads: number;
}

/** What a folder of answers was made with: only the same resumes there. */
const MANIFEST = '_batch.json';
const PROGRESS_MS = 500;

/** `headwater predictions batch`: scores files; a run that was stopped resumes where it was. A JSON line of counts at the end. */
export async function batchPredict(model: string, options: BatchPredictOptions): Promise<void> {
  const { in: patterns, out, format, keep, threads } = options;
  const { version, project } = await withRegistry(async (registry, config) => ({
    version: await versionOf(registry, model, options),
    project: config,
  }));
  const settings = { patterns, directory: out, format };
  const parts = await partsOf(settings);
  if (parts.length === 0) throw new CommandFailedError(`there are no files like ${patterns.join(', ')}`);
  const files = createFileSystems()(out);
  const doneParts = () => files.glob(pathIn(out, '_done/*.json'));
  await claim(files, out, {
    model,
    version: version.version,
    in: [...patterns],
    format,
    keep: keep === undefined ? null : [...keep],
  });
  const task = createProgress().begin(`score ${patterns.join(', ')} with ${model} ${version.version}`, parts.length);
  const watch = setInterval(() => {
    void doneParts().then(
      (done) => task.update(done.length, 'parts'),
      () => {},
    );
  }, PROGRESS_MS);
  const before = (await doneParts()).length;
  const startedMs = performance.now();
  const pairs = {
    ...{ model, version: String(version.version), in: patterns.join(','), out, format },
    ...(keep === undefined ? {} : { keep: keep.join(',') }),
  };
  try {
    await runPipeline('batch-predict', {
      ...{ runner: 'embedded', runnerOption: [], environment: 'loopback', snapshotInterval: 60_000, logLevel: 'warn' },
      ...{ state: 'heap', stateCache: DEFAULT_STATE_CACHE_MB },
      threads: Math.min(threads, parts.length),
      option: Object.entries(pairs).map(([key, value]) => `${key}=${value}`),
    });
  } finally {
    clearInterval(watch);
  }
  const counts = await countsOf(files, parts);
  const seconds = (performance.now() - startedMs) / 1_000;
  const remark =
    before === 0 ? `${Math.round(counts.rows / seconds)} rows a second` : `${before} parts were there already`;
  task.finish(remark);
  process.stdout.write(`${JSON.stringify({ model, version: version.version, parts: parts.length, ...counts })}\n`);
  const line = `${counts.rows} rows of ${patterns.join(', ')} by version ${version.version} into ${out}, ${counts.refused} refused`;
  await keepInStore(project, (store) => store.log('prediction', model, [line]));
  if (counts.refused > 0) {
    process.stderr.write(`${counts.refused} rows were refused: see ${pathIn(out, 'refused')}, with the reasons\n`);
  }
}

async function versionOf(registry: ModelRegistry, model: string, options: BatchPredictOptions): Promise<ModelVersion> {
  const { modelVersion, stage } = options;
  const found = await registry.resolve(model, modelVersion === undefined ? { stage } : { version: modelVersion });
  if (found !== undefined) return found;
  const which = modelVersion === undefined ? `version in ${stage}` : `version ${modelVersion}`;
  throw new CommandFailedError(`there is no ${which} of ${model}: see headwater models list`);
}

/** @throws {@link CommandFailedError} for a folder that holds answers of something else */
async function claim(files: FileSystem, out: string, wanted: JsonObject): Promise<void> {
  const path = pathIn(out, MANIFEST);
  if ((await files.glob(path)).length > 0) {
    const text = (await readWhole(files, path)).toString();
    if (text === JSON.stringify(wanted)) return;
    throw new CommandFailedError(`${out} holds answers of another run (${text}): name another folder`);
  }
  await files.write(path, Buffer.from(JSON.stringify(wanted)));
}

async function countsOf(
  files: FileSystem,
  parts: readonly ScorePart[],
): Promise<{ readonly rows: number; readonly refused: number }> {
  const sum = { rows: 0, refused: 0 };
  for (const part of parts) {
    const { rows, refused } = JSON.parse((await readWhole(files, donePathOf(part))).toString()) as PartScored;
    sum.rows += rows;
    sum.refused += refused;
  }
  return sum;
}
