import { figure, table } from '#feature_store/comparison/comparison_report';
import { featuresOfBoth } from '#feature_store/comparison/view_comparison';
import { servicesById } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { JsonObject } from '#kernel/json';
import { liveMetrics } from '#pipelines/transforms/drift/live_metrics';
import type { ModelVersion } from '#registry/model_registry';
import { type RescoredAnswer, RescoredAnswers } from '#serving/batch/rescored_answers';
import { LoadedModel } from '#serving/models/loaded_model';
import { versionOf } from '../models/models.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { openRegistry } from '../parts/open_registry.ts';
import { definitionsOf, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';

/** What a model makes of the answers that it has given, with the values of one definition of a view and of the other. */
export interface RescoredModel {
  readonly model: string;
  readonly version: number;
  /** That have an outcome and could be computed. */
  readonly rows: number;
  /** That the model does not take with one of the definitions, for want of a value that it requires. */
  readonly refused: number;
  /** The model's columns that come from the view. */
  readonly columns: readonly string[];
  readonly metrics: { readonly [side in 'logged' | 'before' | 'after']: Readonly<Record<string, number>> };
}

export interface AskedModel {
  readonly name: string;
  /** In production, where it is left out. */
  readonly version: number | undefined;
}

/** A model that is to be scored again once the values of its answers' times have been read. */
export class ModelToRescore {
  readonly #loaded: LoadedModel;
  readonly #name: string;
  readonly #version: number;
  readonly #columns: readonly string[];
  #answers: RescoredAnswers | undefined;

  private constructor(loaded: LoadedModel, { name, version }: ModelVersion, columns: readonly string[]) {
    this.#loaded = loaded;
    this.#name = name;
    this.#version = version;
    this.#columns = columns;
  }

  /** @throws {@link CommandFailedError} when it takes no rows of columns, or none of its columns is a feature of both definitions */
  static async load(
    project: Project,
    { name, version: asked }: AskedModel,
    views: readonly [FeatureView, FeatureView],
  ): Promise<ModelToRescore> {
    const registry = openRegistry(project);
    try {
      const version = await versionOf(registry, name, asked);
      const loaded = await LoadedModel.load(await registry.download(version), { isRepeatable: true });
      try {
        if (loaded.rowsProblem !== undefined)
          throw new CommandFailedError(
            `version ${version.version} of ${name} takes no rows of columns: ${loaded.rowsProblem}`,
          );
        const columns = columnsOf(project, loaded, views);
        if (columns.length === 0)
          throw new CommandFailedError(
            `version ${version.version} of ${name} has no column that is a feature of both definitions: its columns are ${loaded.encoder.names.join(', ')}`,
          );
        return new ModelToRescore(loaded, version, columns);
      } catch (error) {
        await loaded.release();
        throw error;
      }
    } finally {
      await registry.close();
    }
  }

  /** Reads its answers of entities of the view in a range, and returns the moments at which the two definitions are to be read. */
  async momentsIn(
    offline: OfflineDatabase,
    { entity }: FeatureView,
    range: { readonly sinceMs: number; readonly untilMs: number },
  ): Promise<RescoredAnswers['moments']> {
    const of = { modelName: this.#name, ...range };
    this.#answers = await RescoredAnswers.read(offline, of, (key) => key.startsWith(`${entity.name}:`));
    return this.#answers.moments;
  }

  async score(project: Project): Promise<RescoredModel> {
    const thresholds = project.serving.models.find((served) => served.name === this.#name)?.thresholds ?? [];
    const { answers, refused } = (await this.#answers?.score(this.#loaded, this.#columns, thresholds)) ?? {
      ...{ answers: [], refused: 0 },
    };
    const metricsOf = (side: 'logged' | 'before' | 'after') => metricsOn(answers, side, this.#name, this.#version);
    return {
      ...{ model: this.#name, version: this.#version, rows: answers.length, refused, columns: this.#columns },
      metrics: { logged: metricsOf('logged'), before: metricsOf('before'), after: metricsOf('after') },
    };
  }

  release(): Promise<void> {
    return this.#loaded.release();
  }
}

const metricsOn = (
  answers: readonly RescoredAnswer[],
  side: 'logged' | 'before' | 'after',
  model: string,
  version: number,
) =>
  liveMetrics(
    answers.map(({ [side]: { prediction, probabilities }, outcome: { label, value } }) => ({
      ...{ model, version, prediction, probabilities: probabilities ?? null },
      ...{ label: label ?? null, value: value ?? null },
    })),
  );

/** The columns of a model that both definitions have; where its service is known here, those that it takes from the view. */
function columnsOf(
  project: Project,
  { signature, encoder }: LoadedModel,
  views: readonly [FeatureView, FeatureView],
): readonly string[] {
  const service = servicesById(definitionsOf(project)).get(signature.featureService?.service ?? '');
  const [{ name: viewName }] = views;
  return featuresOfBoth(views).filter(
    (name) =>
      encoder.names.includes(name) &&
      (service?.columns.some((column) => column.name === name && column.view.startsWith(`${viewName}@`)) ?? true),
  );
}

/** Returns a model that was scored again as JSON. */
export const rescoredJson = ({ metrics, ...of }: RescoredModel): JsonObject => ({
  ...{ ...of, columns: [...of.columns] },
  metrics: { logged: { ...metrics.logged }, before: { ...metrics.before }, after: { ...metrics.after } },
});

/** Returns a model that was scored again as Markdown. */
export function rescoredMarkdown({ model, version, rows, refused, columns, metrics }: RescoredModel): string {
  const { logged, before, after } = metrics;
  return [
    `${model} ${version} with ${columns.join(', ')} of each definition: ${rows} answers with an outcome`,
    ...(refused === 0
      ? []
      : [`${refused} answers are left out: the model requires a value that one of the two has not`]),
    ...(rows === 0
      ? []
      : [
          '',
          ...table(
            ['metric', 'as answered', 'before', 'after'],
            Object.keys({ ...logged, ...before, ...after }).map((name) => [
              name,
              ...[logged, before, after].map((side) => figure(side[name] ?? null)),
            ]),
          ),
        ]),
  ].join('\n');
}
