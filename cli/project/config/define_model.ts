import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import { definitionOfKind } from '#feature_store/definitions/definition_kind';
import { DefinitionError, definedIn } from '#feature_store/definitions/errors';
import { type FeatureService, serviceOfView } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { gatesConfigSchema } from '#registry/lifecycle/gates_config';
import { modelNameSchema } from '#registry/names';
import { trainingConfigSchema } from '#registry/trainers/training_config';
import { canarySchema } from '#serving/routing/canary';
import { modelWatchSchema } from './monitor_config.ts';
import { type RetrainingInput, retrainingSchema } from './retraining_config.ts';

/** What a model reads: a service, or a view with all its features. */
// biome-ignore lint/suspicious/noExplicitAny: of whatever columns
export type ModelFeatures = FeatureService<any> | FeatureView<any>;

type NamesOf<S> = S extends FeatureService<infer Name> ? Name : S extends FeatureView<infer Name> ? Name : never;

type Trainer = z.input<typeof trainingConfigSchema>;
/** A trainer with its own settings, such as `{ trainer: 'xgboost', classes: ['kept', 'lost'] }`. */
export type ModelTraining<Column extends string> = Trainer extends infer One
  ? One extends Trainer
    ? Omit<One, 'service' | 'labels' | 'columns' | 'slices' | 'naive'> & {
        /** Columns that the trainer gets; all without. */
        readonly columns?: readonly Column[];
        /** Columns by whose values evaluation looks at rows separately; `entity_key` is one too. */
        readonly slices?: readonly (Column | 'entity_key')[];
        /** Column with what one would predict without a model. */
        readonly naive?: Column;
      }
    : never
  : never;

/** What a model reads, how it is trained, and what a version must fulfil to be promoted. */
export interface ModelSpec<S extends ModelFeatures> {
  /** Of the registered model: letters, digits, `_`, `.` and `-`. */
  readonly name: string;
  readonly service: S;
  /**
   * Where labels come from unless the command says otherwise: a source of labels in the offline store; feedback about predictions by entity, as labels that stand
   * for 0, 1, … or as values; or each row or entity counts.
   */
  readonly labels?:
    | { readonly source: string }
    | { readonly feedback: readonly string[] | 'value' }
    | { readonly each: 'row' | 'entity' };
  /** How `headwater models train` trains it; absent: versions are registered by other means. */
  readonly training?: ModelTraining<NamesOf<S>>;
  /** What a version must fulfil to be promoted. */
  readonly gates?: z.input<typeof gatesConfigSchema>;
  /** Tries a version in Staging on a growing share of the entities, and takes it back when it does worse; absent: none. */
  readonly canary?: z.input<typeof canarySchema>;
  /** How its versions are watched, where that differs from `monitor` of the settings. */
  readonly monitoring?: Omit<z.input<typeof modelWatchSchema>, 'ignore'> & {
    /** Columns that are not compared with training. */
    readonly ignore?: readonly NamesOf<S>[];
  };
  /** Trains it again by a workflow of its own, `retrain_NAME`, at its triggers; absent: by hand. */
  readonly retraining?: RetrainingInput;
  /** Whether serving follows its production version from the start; default: true. `false`: it is loaded on demand, where that is switched on. */
  readonly serve?: boolean;
  /** A model's folder (model.onnx, headwater.json, card.json), as URL relative to the module: registered and put into production where a local registry has no version of it. */
  readonly initial?: URL;
}

/** A model of a project. */
export interface ModelDefinition {
  readonly name: string;
  /** `churn@1` */
  readonly service: string;
  /** As it was written: configs/ may name another trainer, which has other defaults. */
  readonly training: Readonly<Record<string, unknown>> | undefined;
  readonly gates: z.input<typeof gatesConfigSchema> | undefined;
  readonly canary: z.input<typeof canarySchema> | undefined;
  readonly monitoring: z.input<typeof modelWatchSchema> | undefined;
  readonly retraining: RetrainingInput | undefined;
  readonly serve: boolean;
  /** A folder's path. */
  readonly initial: string | undefined;
}

/**
 * Declares a model: its features, its training and what its versions must fulfil.
 *
 * @throws {@link DefinitionError} with all problems at once: a bad name, columns that the service lacks, bad settings of the trainer
 */
export function defineModel<S extends ModelFeatures>(spec: ModelSpec<S>): ModelDefinition {
  const { name, labels, training, gates, canary, retraining, serve = true, initial } = spec;
  const monitoring = spec.monitoring as z.input<typeof modelWatchSchema> | undefined;
  const given = spec.service as FeatureService | FeatureView;
  const { service: id, columns } = ('signature' in given ? given : serviceOfView(given)).signature;
  const problems: string[] = [];
  const named = modelNameSchema.safeParse(name);
  if (!named.success) problems.push(`model "${name}": ${named.error.issues.map(({ message }) => message).join('; ')}`);
  const known = new Set(columns.map((column) => column.name));
  const { columns: chosen = [], slices = [], naive } = (training ?? {}) as ModelTraining<string>;
  for (const column of [...chosen, ...slices, ...(monitoring?.ignore ?? []), ...(naive === undefined ? [] : [naive])]) {
    if (column === 'entity_key' || known.has(column)) continue;
    problems.push(`model ${name}: ${id} has no column "${column}"; it has ${[...known].join(', ')}`);
  }
  const trained =
    training === undefined ? undefined : { ...training, service: id, ...(labels === undefined ? {} : { labels }) };
  if (canary !== undefined && !serve) problems.push(`model ${name}: a canary needs serve: true`);
  if (retraining !== undefined) {
    if (training === undefined) problems.push(`model ${name}: retraining needs training: how it is trained`);
    if (labels === undefined) problems.push(`model ${name}: retraining needs labels: where they come from`);
    if (canary?.whenPassed === 'promote') {
      problems.push(
        `model ${name}: canary.whenPassed must be hold, its default: the workflow of its retraining promotes`,
      );
    }
    for (const column of Object.keys(retraining.rules ?? {})) {
      if (!known.has(column)) problems.push(`model ${name}, retraining.rules: ${id} has no column "${column}"`);
    }
  }
  const parts = [
    ['training', trainingConfigSchema, trained],
    ['retraining', retrainingSchema, retraining],
    ['canary', canarySchema, canary],
    ['monitoring', modelWatchSchema, monitoring],
  ] as const;
  for (const [part, schema, value] of parts) {
    if (value === undefined) continue;
    for (const { path, message } of schema.safeParse(value).error?.issues ?? []) {
      problems.push(`model ${name}, ${[part, ...path].map(String).join('.')}: ${message}`);
    }
  }
  if (problems.length > 0) throw new DefinitionError(problems, definedIn());
  return definitionOfKind('model', {
    ...{ name, service: id, training: trained, gates, canary, monitoring, retraining, serve },
    initial: initial === undefined ? undefined : fileURLToPath(initial),
  });
}

/** Returns the settings that models bring: `training`, `retraining`, `promotion`, `serving.models` and `monitor.models` of the configuration, which may say otherwise. */
export const settingsOfModels = (models: readonly ModelDefinition[]): Readonly<Record<string, unknown>> => ({
  training: Object.fromEntries(
    models.flatMap(({ name, training }) => (training === undefined ? [] : [[name, training]])),
  ),
  retraining: Object.fromEntries(
    models.flatMap(({ name, retraining }) => (retraining === undefined ? [] : [[name, retraining]])),
  ),
  promotion: Object.fromEntries(models.flatMap(({ name, gates }) => (gates === undefined ? [] : [[name, gates]]))),
  serving: {
    models: models
      .filter(({ serve }) => serve)
      .map(({ name, canary }) => ({ name, ...(canary === undefined ? {} : { canary }) })),
  },
  monitor: {
    models: Object.fromEntries(
      models.flatMap(({ name, monitoring }) => (monitoring === undefined ? [] : [[name, monitoring]])),
    ),
  },
});
