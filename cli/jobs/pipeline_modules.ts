import { similarName } from '#kernel/known_names';
import { beamUnavailable } from '#pipelines/compat/errors';
import type { Construct } from '#pipelines/model/graph';
import { loadModule } from '../project/loading/load_module.ts';
import { findModule, namesOfModules } from '../project/named_modules.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { openBatchPredictPipeline } from './batch_predict_pipeline.ts';
import { type OpenPipeline, openBackfillPipeline, openFeaturesPipeline } from './features_pipeline.ts';

/** A pipeline module's default export: makes the graph for the given options. */
export type PipelineModule = (options: Readonly<Record<string, string>>) => Construct | Promise<Construct>;

export interface PipelineRequest {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

/** The platform's own pipelines. */
export const OWN_PIPELINES: Readonly<Record<string, (options: PipelineRequest['options']) => Promise<OpenPipeline>>> = {
  features: openFeaturesPipeline,
  backfill: openBackfillPipeline,
  'batch-predict': openBatchPredictPipeline,
};

/** This module, for threads that open the pipeline again. */
export const pipelineModulesUrl = import.meta.url;

/** @throws CommandFailedError when there is no such module, or it exports no pipeline */
export async function openPipeline({ name, options }: PipelineRequest): Promise<OpenPipeline> {
  const own = OWN_PIPELINES[name];
  if (own !== undefined) return own(options);
  const file = await findModule(name, 'pipelines');
  if (file === undefined) {
    const meant = similarName(name, [...Object.keys(OWN_PIPELINES), ...(await namesOfModules('pipelines'))]);
    throw new CommandFailedError(
      `there is no pipeline "${name}"${meant === undefined ? '' : ` (did you mean "${meant}"?)`}: give a module's path, the name of a module in the project's pipelines/, or one of ${Object.keys(OWN_PIPELINES).join(', ')}`,
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
    return await loadModule(file);
  } catch (error) {
    throw beamUnavailable(error) ?? error;
  }
}
