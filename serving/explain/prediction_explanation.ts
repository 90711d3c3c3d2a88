import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { columnOfInput, inputReader } from '#feature_store/definitions/model_inputs';
import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { jsonOfValue } from '#feature_store/definitions/values/value_codec';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { valuesAsOf } from '#feature_store/retrieval/as_of';
import { PlatformError } from '#kernel/errors';
import type { JsonValue } from '#kernel/json';
import { eventTime } from '#kernel/time';
import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import { DEFAULT_THRESHOLD } from '#registry/packages/model_package';
import { loggedPrediction } from '../inference/answered_rows.ts';
import { AdaptiveThreshold, type ThresholdRule } from '../models/adaptive_threshold.ts';
import { interpret } from '../models/interpret.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { FeedbackRow, FeedbackStore } from '../prediction_store/feedback_store.ts';
import type { PredictionRow, PredictionStore } from '../prediction_store/prediction_store.ts';
import { Assignment, type Rule } from '../routing/assignment.ts';
import { CANARY, NO_EXPERIMENT } from '../routing/model_router.ts';
import { type Routing, type RoutingStore, routingStateSchema } from '../routing/routing.ts';
import type { Explainer, RowExplanation } from './explainer.ts';
import type { KeptVersions } from './kept_versions.ts';

/** How the version was chosen that answered. */
export interface ChosenBy {
  readonly how: 'stage' | 'rule' | 'share' | 'canary' | 'other';
  /** In words. */
  readonly reason: string;
  readonly rule: Rule | undefined;
  /** Of the routing that held: who changed it, when and why; undefined: the configuration's. */
  readonly change: { readonly revision: number; readonly by: string; readonly reason: string } | undefined;
}

/** A feature as the model was given it. */
export interface UsedFeature {
  readonly name: string;
  readonly value: unknown;
  /** What it adds to each output, in their order; undefined where the prediction cannot be explained. */
  readonly contributions: readonly number[] | undefined;
  /** Where it comes from; undefined: the request itself. */
  readonly from: { readonly view: string; readonly feature: string; readonly isOnDemand: boolean } | undefined;
  /** The newest row of the view that the offline store has of then. */
  readonly stored:
    | {
        readonly value: JsonValue;
        readonly eventTimeMs: number;
        /** After the prediction, where the row was written again since. */
        readonly computedAtMs: number;
        readonly isEqual: boolean;
      }
    | undefined;
}

/** Why a prediction is what it is. */
export interface PredictionExplanation {
  readonly prediction: PredictionRow;
  /** Rows of the same answer. */
  readonly rows: number;
  /** Other answers that the id names as well. */
  readonly otherAnswers: number;
  readonly version: ModelVersion | undefined;
  readonly chosenBy: ChosenBy;
  /** That decided, and whether rules moved it for this row. */
  readonly threshold: { readonly value: number; readonly isAdaptive: boolean } | undefined;
  readonly features: readonly UsedFeature[];
  readonly explanation: RowExplanation | undefined;
  /** The same, computed again by the version from the logged features. */
  readonly recomputed: Pick<PredictionRow, 'prediction' | 'probabilities'> | undefined;
  /** How they differ, or why nothing was computed, in words; undefined: they are equal to the last digit. */
  readonly difference: string | undefined;
  /** Why there is no explanation. */
  readonly problem: string | undefined;
  readonly outcome: FeedbackRow | undefined;
  /** Of the same entity and model, the nearest before and after, in the order of their times. */
  readonly neighbours: readonly PredictionRow[];
}

export interface PredictionQuestion {
  /** Of the answer, or of the request: the newest answer then. */
  readonly id: string;
  /** In the request. */
  readonly row: number;
  /** Called with the model before anything else is read: throws for a caller that may not see it. */
  readonly allow?: (model: string) => void;
}

/** Explains a prediction; undefined where none of the id and row is logged. */
export type ExplainPrediction = (question: PredictionQuestion) => Promise<PredictionExplanation | undefined>;

export interface PredictionExplainerDeps {
  readonly predictions: Pick<PredictionStore, 'named' | 'list'>;
  readonly feedback: Pick<FeedbackStore, 'read'>;
  readonly routing: Pick<RoutingStore, 'list'>;
  readonly features: Pick<OfflineStore, 'newestBy'>;
  readonly registry: Pick<ModelRegistry, 'listVersions'>;
  readonly versions: KeptVersions;
  readonly explainer: Explainer;
  readonly serviceOf: (id: string) => FeatureService | undefined;
  /** Of `serving.models`. */
  readonly served: readonly {
    readonly name: string;
    readonly thresholds: readonly ThresholdRule[];
    readonly experiment?: Routing['experiment'];
    readonly canary?: Routing['canary'];
  }[];
}

/** Most rows of answers with one id that are looked at. */
const MOST_ROWS = 10_000;
const NEIGHBOURS = 5;
/** Predictions after it among which the nearest are looked for. */
const LATER = 200;
const CHANGES = 1_000;

/** Returns what explains predictions out of their log, the registry and the stores. */
export function createPredictionExplainer(deps: PredictionExplainerDeps): ExplainPrediction {
  const { predictions, feedback, registry } = deps;
  return async ({ id, row, allow }) => {
    const named = await predictions.named(id, MOST_ROWS);
    const newest = named.find(({ rowIndex }) => rowIndex === row);
    if (newest === undefined) return undefined;
    allow?.(newest.modelName);
    const answers = new Set(named.map(({ predictionId }) => predictionId));
    const version = (await registry.listVersions(newest.modelName)).find(
      (each) => each.version === newest.modelVersion,
    );
    const computed = await computedAgain(deps, newest, version);
    const [outcome] = await feedback.read([newest]);
    return {
      ...{ prediction: newest, version, outcome, ...computed },
      rows: named.filter(({ predictionId }) => predictionId === newest.predictionId).length,
      otherAnswers: answers.size - 1,
      chosenBy: await chosenBy(deps, newest),
      neighbours: await neighboursOf(predictions, newest),
    };
  };
}

type Computed = Pick<
  PredictionExplanation,
  'threshold' | 'features' | 'explanation' | 'recomputed' | 'difference' | 'problem'
>;

async function computedAgain(
  deps: PredictionExplainerDeps,
  logged: PredictionRow,
  version: ModelVersion | undefined,
): Promise<Computed> {
  const features = await usedFeatures(deps, logged, undefined, undefined);
  const without = (problem: string): Computed => ({
    ...{ features, problem, difference: problem },
    ...{ threshold: undefined, explanation: undefined, recomputed: undefined },
  });
  if (version === undefined)
    return without(`version ${logged.modelVersion} of ${logged.modelName} is not in the registry any more`);
  try {
    const found = await deps.versions.use(version, (model) => computedWith(deps, logged, model));
    return 'computed' in found ? found.computed : without(found.problem);
  } catch (error) {
    if (error instanceof PlatformError)
      return without(`version ${version.version} of ${version.name} cannot be used: ${error.message}`);
    throw error;
  }
}

async function computedWith(
  deps: PredictionExplainerDeps,
  logged: PredictionRow,
  model: LoadedModel,
): Promise<{ readonly computed: Computed } | { readonly problem: string }> {
  if (model.rowsProblem !== undefined) return { problem: `the model takes no rows of columns: ${model.rowsProblem}` };
  const input = model.encoder.allocate(1);
  const problems = model.encoder.encode(logged.features, input, 0);
  if (problems !== undefined)
    return { problem: problems.map(({ field, problem }) => `the logged ${field} ${problem}`).join('; ') };
  const rules = deps.served.find(({ name }) => name === logged.modelName)?.thresholds ?? [];
  const adaptive = rules.length === 0 ? undefined : new AdaptiveThreshold(rules, model.signature, model.encoder);
  const threshold = adaptive?.of(input, 0);
  const recomputed = loggedPrediction(interpret(model, await model.run(input, 1), 0, threshold));
  const { task } = model.signature;
  const hasThreshold = task === 'binary_classification' || task === 'anomaly_detection';
  const explained = await explanationOf(deps, { model, name: logged.modelName }, input);
  const { explanation } = explained;
  const computed: Computed = {
    threshold: hasThreshold
      ? { value: threshold ?? model.signature.threshold ?? DEFAULT_THRESHOLD, isAdaptive: adaptive !== undefined }
      : undefined,
    features: await usedFeatures(deps, logged, model, explanation),
    recomputed,
    difference: differenceOf(logged, recomputed),
    ...explained,
  };
  return { computed };
}

async function explanationOf(
  { explainer }: PredictionExplainerDeps,
  active: { readonly model: LoadedModel; readonly name: string },
  input: Parameters<Explainer['explain']>[1],
): Promise<Pick<PredictionExplanation, 'explanation' | 'problem'>> {
  try {
    return { explanation: await explainer.explain(active, input), problem: undefined };
  } catch (error) {
    if (error instanceof PlatformError) return { explanation: undefined, problem: error.message };
    throw error;
  }
}

type Logged = Pick<PredictionRow, 'prediction' | 'probabilities'>;

function differenceOf(logged: Logged, again: Logged): string | undefined {
  const outputs = Object.keys({ ...logged.probabilities, ...again.probabilities });
  const differing = outputs.filter((name) => logged.probabilities?.[name] !== again.probabilities?.[name]);
  const parts = differing.map(
    (name) =>
      `${name} is ${again.probabilities?.[name] ?? 'missing'}, and ${logged.probabilities?.[name] ?? 'nothing'} was logged`,
  );
  if (logged.prediction !== again.prediction)
    parts.unshift(`the prediction is ${again.prediction}, and ${logged.prediction} was answered`);
  return parts.length === 0 ? undefined : parts.join('; ');
}

/** Returns the features of a prediction, each with what is stored of it. */
async function usedFeatures(
  { serviceOf, features: rows }: PredictionExplainerDeps,
  { features, entityKey, predictedAtMs }: PredictionRow,
  model: LoadedModel | undefined,
  explanation: RowExplanation | undefined,
): Promise<readonly UsedFeature[]> {
  const reference = model?.signature.featureService?.service;
  const service = reference === undefined ? undefined : serviceOf(reference);
  const columns = Object.fromEntries((service?.columns ?? []).map((column) => [column.name, column]));
  const values = service === undefined || entityKey === undefined ? undefined : await storedValues(service);
  const readInput = inputReader(service?.columns ?? []);
  // In the order of the model's inputs, which the log does not keep.
  const inputs = (model?.signature.inputs ?? [])
    .map(({ name }) => name)
    .filter((name) => Object.hasOwn(features, name));
  const names = [...new Set([...inputs, ...Object.keys(features)])];
  return names.map((name): UsedFeature => {
    const value = features[name];
    const contributions = explanation?.outputs.map((output) => output.contributions[name] ?? 0);
    const column = columns[columnOfInput(columns, name) ?? ''];
    if (column === undefined) return { name, value, contributions, from: undefined, stored: undefined };
    const found = values?.get(column.view);
    const input =
      found === undefined ? undefined : readInput === undefined ? found.values[name] : readInput(found.values, name);
    const from = { view: column.view, feature: column.name, isOnDemand: isOnDemand(service, column.view) };
    if (found === undefined) return { name, value, contributions, from, stored: undefined };
    const shown = jsonOfValue((input ?? null) as FeatureValue);
    const { eventTime: eventTimeMs, computedAt: computedAtMs } = found.row;
    const isEqual = JSON.stringify(shown) === JSON.stringify(value ?? null);
    return { name, value, contributions, from, stored: { value: shown, eventTimeMs, computedAtMs, isEqual } };
  });

  async function storedValues(of: FeatureService): Promise<ReadonlyMap<string, StoredValues>> {
    const read = of.stored.map(async ({ view }): Promise<readonly (readonly [string, StoredValues])[]> => {
      const row = await rows.newestBy(view, { entityKey: entityKey as EntityKey, eventTime: eventTime(predictedAtMs) });
      if (row === undefined || predictedAtMs - row.eventTime > view.ttlMs) return [];
      return [[viewId(view), { row, values: valuesAsOf(view as FeatureView, row.values, predictedAtMs) }]];
    });
    return new Map((await Promise.all(read)).flat());
  }
}

interface StoredValues {
  readonly row: FeatureRow;
  readonly values: Readonly<Record<string, FeatureValue>>;
}

const isOnDemand = (service: FeatureService | undefined, view: string): boolean =>
  service?.onDemand.some((each) => viewId(each) === view) === true;

/** Returns what the routing of then says about who answered. */
async function chosenBy(
  { routing: changes, served }: PredictionExplainerDeps,
  { modelName, variant = NO_EXPERIMENT, experiment: named, entityKey, features, predictedAtMs }: PredictionRow,
): Promise<ChosenBy> {
  const change = (await changes.list(modelName, CHANGES)).find(({ atMs }) => atMs <= predictedAtMs);
  const changed = change === undefined ? undefined : routingStateSchema.parse(change.state).routing;
  const { experiment, canary } = changed ?? served.find(({ name }) => name === modelName) ?? {};
  const as = (how: ChosenBy['how'], reason: string, rule?: Rule): ChosenBy => ({
    ...{ how, reason, rule },
    change: change === undefined ? undefined : { revision: change.revision, by: change.by, reason: change.reason },
  });
  if (named !== undefined && experiment?.name === named) {
    const assignment = new Assignment(experiment);
    const entity = entityKey === undefined ? undefined : idOf(entityKey);
    const rule = assignment.ruleFor({ entity, features });
    if (rule?.variant === variant) return as('rule', `a rule of experiment ${named} gives it to ${variant}`, rule);
    const shares = experiment.variants.map((each) => `${each.name} ${each.weight}`).join(', ');
    if (entity === undefined)
      return as('share', `experiment ${named} has assigned the request at random, by the weights ${shares}`);
    const at = assignment.positionOf(entity).toFixed(4);
    const moves = experiment.allocation === 'thompson' ? ', which the outcomes have moved since' : '';
    return as(
      'share',
      `experiment ${named} places ${entity} at ${at} of 1; its variants have the weights ${shares}${moves}`,
    );
  }
  if (named !== undefined)
    return as('other', `experiment ${named} gave it to ${variant}, and is not configured any more`);
  if (variant === CANARY)
    return as('canary', canary === undefined ? 'a canary of then took it' : 'it is in the share of the canary');
  if (variant !== NO_EXPERIMENT) return as('other', `the request named the variant ${variant}`);
  return as('stage', 'no experiment and no canary took it: the version that production followed has answered');
}

/** The nearest predictions of the same entity and model. */
async function neighboursOf(
  predictions: Pick<PredictionStore, 'list'>,
  { entityKey, modelName, predictedAtMs, predictionId }: PredictionRow,
): Promise<readonly PredictionRow[]> {
  if (entityKey === undefined) return [];
  const of = { entityKeys: [entityKey], modelName };
  const before = await predictions.list({ ...of, untilMs: predictedAtMs, limit: NEIGHBOURS });
  const since = await predictions.list({ ...of, sinceMs: predictedAtMs, limit: LATER });
  const after = since.filter((row) => row.predictionId !== predictionId).slice(-NEIGHBOURS);
  return [...before].reverse().concat([...after].reverse());
}
