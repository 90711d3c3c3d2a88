import { partsOf, type ScoreFilesSettings, scoreFiles } from '#serving/batch/score_files';
import { LoadedModel } from '#serving/models/loaded_model';
import { openRegistry } from '../parts/open_registry.ts';
import { extensionsFor, loadSettings } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { UsageError } from '../terminal/usage_error.ts';
import type { OpenPipeline } from './features_pipeline.ts';

/**
 * What `headwater predictions batch` runs, and `headwater pipelines run batch-predict --option model=… --option version=… --option in=… --option out=…` on any runner. Options
 * besides: `format`, and `keep`, columns that go along.
 */
export async function openBatchPredictPipeline(options: Readonly<Record<string, string>>): Promise<OpenPipeline> {
  const { model, version, in: patterns, out } = options;
  if (model === undefined || patterns === undefined || out === undefined || !/^\d+$/.test(version ?? '')) {
    throw new UsageError('batch-predict needs the options model, version, in and out');
  }
  const settings: ScoreFilesSettings = {
    patterns: patterns.split(','),
    directory: out,
    format: (options.format ?? 'parquet') as ScoreFilesSettings['format'],
    ...(options.keep === undefined ? {} : { keep: options.keep.split(',') }),
  };
  const parts = await partsOf(settings);
  const load = async (): Promise<LoadedModel> => {
    const config = loadSettings();
    const registry = openRegistry({ ...config, extensions: await extensionsFor(config) });
    try {
      const found = await registry.resolve(model, { version: Number(version) });
      if (found === undefined) throw new CommandFailedError(`there is no version ${version} of ${model}`);
      return await LoadedModel.load(await registry.download(found), { isRepeatable: true });
    } finally {
      await registry.close();
    }
  };
  return { construct: (root) => void root.apply(scoreFiles(parts, load, settings)), close: async () => {} };
}
