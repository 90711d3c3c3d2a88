import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '#kernel/project_root';
import { beamUnavailable } from '#pipelines/compat/errors';
import type { Construct } from '#pipelines/model/graph';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { openBatchPredictPipeline } from './batch_predict_pipeline.ts';
import { type OpenPipeline, openBackfillPipeline, openFeaturesPipeline } from './features_pipeline.ts';

/** A pipeline module's default export: makes the graph for the given options. */
export type PipelineModule = (options: Readonly<Record<string, string>>) => Construct | Promise<Construct>;

export interface PipelineRequest {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

/** This module, for threads that open the pipeline again. */
export const pipelineModulesUrl = import.meta.url;

/** @throws CommandFailedError when there is no such module, or it exports no pipeline */
export async function openPipeline({ name, options }: PipelineRequest): Promise<OpenPipeline> {
  if (name === 'features') return openFeaturesPipeline(options);
  if (name === 'backfill') return openBackfillPipeline(options);
  if (name === 'batch-predict') return openBatchPredictPipeline(options);
  const candidates = [resolve(name), join(projectRoot, 'dist/examples', `${name}.js`)];
  const file = candidates.find((candidate) => existsSync(candidate));
  if (file === undefined) {
    throw new CommandFailedError(
      `there is no pipeline "${name}": give a module's path, "features", "backfill", "batch-predict", or an example such as nexmark/pipeline`,
    );
  }
  const module = await loadPipeline(file);
  if (typeof module.default !== 'function') {
    throw new CommandFailedError(`${file} has no pipeline: its default export must be a function of the options`);
  }
  return { construct: await (module.default as PipelineModule)(options), close: async () => {} };
}

async function loadPipeline(file: string): Promise<{ readonly default?: unknown }> {
  try {
    return (await import(pathToFileURL(file).href)) as { readonly default?: unknown };
  } catch (error) {
    throw beamUnavailable(error) ?? error;
  }
}
