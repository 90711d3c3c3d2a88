import type { FeatureService } from '#feature_store/definitions/feature_service';
import { inputReader } from '#feature_store/definitions/model_inputs';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { requestFields } from '#feature_store/retrieval/feature_vector';
import { messageOf, PlatformError } from '#kernel/errors';
import { MOST_NAMED } from '#kernel/problem_list';
import { type Clock, type EventTime, isoTime } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, type Registry } from '#monitoring/metrics';
import type { NamedTensors } from '#registry/graphs/typed_tensor';
import type { InputColumn, RowValues } from '#registry/packages/model_package';
import { type ColumnProblem, reencoded } from '#registry/packages/signature_encoder';
import { decidingOutputs } from '#registry/rows/decision';
import { rowsOfTensors } from '#registry/rows/row_feeds';
import {
  InvalidFeaturesError,
  InvalidRequestError,
  OutputNotFiniteError,
  TensorsOnlyError,
  UnknownEntityError,
} from '../errors.ts';
import type { Call } from '../models/call.ts';
import type { ActiveModel } from '../models/model_slot.ts';
import { OutputCache, type OutputCacheSettings } from '../models/output_cache.ts';
import type { PredictionLog } from '../prediction_store/prediction_log.ts';
import type { Subject } from '../routing/assignment.ts';
import type { Entities } from '../routing/canary.ts';
import { CANARY, type ModelRouter } from '../routing/model_router.ts';
import { ShadowRuns } from '../routing/shadow.ts';
import { type Inferred, inferWatched, scoresOf } from '../routing/watched_inference.ts';
import { Admission, type AdmissionSettings } from './admission.ts';
import { AnsweredRows, type AnswerIds, type AskedRows, entitiesOf } from './answered_rows.ts';
import { LoggedTensors } from './logged_tensors.ts';
import { ModelCircuits } from './model_circuits.ts';
import type { ModelServer } from './model_server.ts';
import { ModelStatistics } from './model_statistics.ts';
import { TensorRows } from './tensor_rows.ts';

export interface PredictorDeps {
  readonly models: ModelServer;
  readonly features: FeatureReader;
  readonly predictions: PredictionLog;
  readonly clock: Clock;
  readonly metrics: Registry;
  readonly log: Logger;
}

export type Features = Readonly<Record<string, unknown>>;

/** A row to predict: its features, and whose they are when they were looked up. */
export interface Row {
  readonly features: Features;
  readonly entity: EntityKey | undefined;
  /** By view, of what was looked up. */
  readonly freshness?: Freshness;
}

/** When what is known of an entity became true, and how long ago that is; null: nothing is known of this view. */
export type Freshness = Readonly<Record<string, { readonly event_time: string; readonly age_ms: number } | null>>;

/** What the listeners have in common: which version answers, features of entities, encoding, running, and the log. */
export class Predictor {
  readonly #deps: PredictorDeps;
  /** Who is let in. */
  readonly admission: Admission;
  /** Of canaries. */
  readonly #tried: Admission;
  readonly statistics: ModelStatistics;
  readonly #cache: OutputCache | undefined;
  readonly #shadows: ShadowRuns;
  readonly #circuits: ModelCircuits;
  readonly #maxLoggedTensorValues: number;
  readonly #valuesLeftOut: Counter;
  /** Rows answered since the metrics were last read. */
  readonly #answered = new Map<ActiveModel, number>();

  constructor(
    deps: PredictorDeps,
    settings: AdmissionSettings & {
      readonly predictionCache?: OutputCacheSettings | undefined;
      readonly maxLoggedTensorValues: number;
    },
  ) {
    this.#deps = deps;
    this.statistics = new ModelStatistics(deps.metrics);
    const refused = new Counter({
      name: 'requests_refused_total',
      help: 'Requests that could not be answered in time: wait (too much before it), rows (too many in flight), deadline',
      labelNames: ['reason'],
      registers: [deps.metrics],
    });
    this.admission = new Admission(settings, (reason) => refused.inc({ reason }));
    this.#tried = new Admission(settings);
    const { admission } = this;
    new Gauge({
      name: 'serving_queue_seconds',
      help: 'The longest that a request had to wait for those before it, since the metrics were last read',
      registers: [deps.metrics],
      collect() {
        this.set(admission.takeLongestWait() / 1_000);
      },
    });
    const { predictionCache } = settings;
    this.#maxLoggedTensorValues = settings.maxLoggedTensorValues;
    this.#valuesLeftOut = new Counter({
      name: 'prediction_log_tensors_without_values_total',
      help: 'Tensors that were logged by type and shape alone: they have more values than serving.maxLoggedTensorValues',
      labelNames: ['model'],
      registers: [deps.metrics],
    });
    this.#cache = predictionCache === undefined ? undefined : new OutputCache(deps.metrics, predictionCache);
    this.#shadows = new ShadowRuns(deps);
    this.#circuits = new ModelCircuits(deps);
    const answered = this.#answered;
    new Counter({
      name: 'predictions_total',
      help: 'Rows answered',
      labelNames: ['model', 'version', 'variant'],
      registers: [deps.metrics],
      collect() {
        for (const [{ name: model, version, variant }, rows] of answered) {
          this.inc({ model, version: String(version), variant }, rows);
        }
        answered.clear();
      },
    });
  }

  /**
   * @param name - undefined: the only one that is served
   * @param subject - whom the prediction is about, as far as is known: the same one is answered by the same variant
   * @throws what says that no version can answer
   */
  activeFor(name: string | undefined, subject?: Subject): ActiveModel {
    const active = this.#deps.models.active(this.nameOf(name), subject);
    this.#deps.models.countAssigned(active);
    return active;
  }

  /** For rows without an entity, while they are read: counted afterwards ({@link countAssigned}). Undefined: their features decide who answers. */
  activeForRows(name: string | undefined): ActiveModel | undefined {
    const { models } = this.#deps;
    const chosen = this.nameOf(name);
    return models.asksFeatures(chosen) ? undefined : models.active(chosen);
  }

  countAssigned(active: ActiveModel): void {
    this.#deps.models.countAssigned(active);
  }

  /** As {@link activeFor}; a model that is served on demand is loaded first. */
  async choose(name: string | undefined, subject?: Subject): Promise<ActiveModel> {
    await this.ensure(name);
    return this.activeFor(name, subject);
  }

  /** Loads a model that is served on demand. @throws what says that there is none */
  async ensure(name: string | undefined): Promise<void> {
    if (name !== undefined) await this.#deps.models.ensure(name);
  }

  /** Whether entities are split among several versions; not for a name that is not known. */
  isSplit(name: string | undefined): boolean {
    return this.#deps.models.isSplit(this.nameOf(name));
  }

  /** @throws {@link InvalidRequestError} for undefined when there are several */
  nameOf(name: string | undefined): string {
    const chosen = name ?? this.#deps.models.onlyName;
    if (chosen === undefined) throw new InvalidRequestError('model_name is required: several models are served here');
    return chosen;
  }

  #serviceOf({ model: { signature } }: ActiveModel): FeatureService | undefined {
    const { featureService } = signature;
    return featureService === undefined ? undefined : this.#deps.features.find(featureService.service);
  }

  /**
   * Returns the key of the entity that a request names beside its rows, for the log: of the entity that the model's feature service is of. Undefined where
   * nothing says of which entity it is.
   *
   * @throws {@link EntityKeyError} for what is no id of it
   */
  entityKeyOf(active: ActiveModel, entity: string | undefined): EntityKey | undefined {
    if (entity === undefined) return undefined;
    const service = this.#serviceOf(active);
    return service === undefined ? this.#deps.features.entityKeyOf(entity) : entityKeyFromId(service, entity);
  }

  /**
   * Looks up features of entities, by their ids, in the online store and on demand; those given on top. They are of the entity that the model's feature service
   * is of.
   *
   * @throws {@link UnknownEntityError}; {@link EntityKeyError} for what is no id of it
   */
  async lookUp(
    active: ActiveModel,
    entities: readonly string[],
    given: Features,
    wantsFreshness: boolean,
  ): Promise<Row[]> {
    const { features: reader, clock } = this.#deps;
    const { featureService, inputs } = active.model.signature;
    const service = this.#serviceOf(active);
    if (service === undefined) {
      const why =
        featureService === undefined
          ? 'names no feature service'
          : `names ${featureService.service}, which is not defined here`;
      throw new InvalidRequestError(`model "${active.name}" ${why}: send "features" instead of an entity`);
    }
    const request = requestFields(service, given);
    const vectors = await reader.read(
      service,
      entities.map((entity) => ({ entity, request })),
    );
    const overrides = overridesOf(given, request, inputs);
    const inputOf = inputReader(service.columns);
    const nowMs = clock.now();
    return vectors.map(({ entity: id, entityKey: entity, values, rows, isKnown, failure }) => {
      if (failure !== undefined) throw failure;
      if (!isKnown) throw new UnknownEntityError(id, service.signature.service);
      const features: Record<string, unknown> = {};
      for (const { name } of inputs) features[name] = inputOf === undefined ? values[name] : inputOf(values, name);
      if (overrides !== undefined) Object.assign(features, overrides);
      if (!wantsFreshness) return { features, entity };
      const ages = service.stored.map(({ view }, at) => [viewId(view), ageOf(rows[at]?.eventTime, nowMs)] as const);
      return { features, entity, freshness: Object.fromEntries(ages) };
    });
  }

  /**
   * @param prefix - of a row's fields in messages
   * @returns [rows, columns], row-major
   * @throws {@link InvalidFeaturesError} with the first bad fields, and how many there are
   */
  encode({ model, name }: ActiveModel, rows: readonly Row[], prefix: (index: number) => string): RowValues {
    const { encoder, rowsProblem } = model;
    if (rowsProblem !== undefined) throw new TensorsOnlyError(name, rowsProblem);
    const input = encoder.allocate(rows.length);
    let problems: ColumnProblem[] | undefined;
    let count = 0;
    for (let index = 0; index < rows.length; index += 1) {
      const found = encoder.encode((rows[index] as Row).features, input, index * encoder.width);
      if (found === undefined) continue;
      problems ??= [];
      count += found.length;
      for (const { field, problem } of found.slice(0, MOST_NAMED - problems.length)) {
        problems.push({ field: `${prefix(index)}${field}`, problem });
      }
    }
    if (problems !== undefined) throw new InvalidFeaturesError(problems, count);
    return input;
  }

  /** While a canary runs: what sees what becomes of rows. */
  #watching({ name, isNamed }: ActiveModel): ModelRouter | undefined {
    return isNamed === true ? undefined : this.#deps.models.watching(name);
  }

  /** What is known of this row; undefined while a canary runs, which is to be seen at work. */
  recall(active: ActiveModel, input: RowValues): Inferred | undefined {
    if (this.#cache === undefined || this.#watching(active) !== undefined) return undefined;
    const output = this.#cache.get(active, input);
    return output === undefined ? undefined : { output, input, by: active };
  }

  /**
   * @param about - whom the rows are about: where they were looked up, or the entity that the request names
   * @throws {@link OverloadedError} or {@link DeadlinePassedError}; what the model throws
   */
  infer(
    active: ActiveModel,
    input: RowValues,
    rows: number,
    call?: Call,
    about?: AskedRows | string,
  ): Promise<Inferred> {
    const watching = this.#watching(active);
    if (watching === undefined) return this.#run(this.admission, active, input, rows, call);
    const watched = { watching, entities: entitiesOf(about, rows) };
    if (active.variant !== CANARY) return this.#run(this.admission, active, input, rows, call, watched);
    // A canary has a budget of its own: what it takes is no reason to refuse a request, and what it has no room for production answers.
    const { production } = watching;
    if (this.#tried.hasRoom(rows) || production?.model.shape !== active.model.shape) {
      return this.#run(this.#tried, active, input, rows, call, watched);
    }
    const own = reencoded(active.model.encoder, production.model.encoder, input);
    return this.#run(this.admission, production, own, rows, call);
  }

  async #run(
    budget: Admission,
    active: ActiveModel,
    input: RowValues,
    rows: number,
    call: Call | undefined,
    watched?: { readonly watching: ModelRouter; readonly entities: Entities | undefined },
  ): Promise<Inferred> {
    this.#circuits.check(active);
    const costMs = rows * active.batcher.rowMs;
    budget.take(rows, costMs, call?.deadlineMs);
    const beganMs = performance.now();
    try {
      const inferred =
        watched === undefined
          ? { output: await active.batcher.infer(input, rows, call), input, by: active }
          : await inferWatched(watched.watching, active, input, rows, { call, entities: watched.entities });
      const shadow = this.#deps.models.shadowOf(active.name);
      if (shadow !== undefined) this.#shadows.run(shadow, inferred.by, inferred.input, rows, inferred.output);
      if (rows === 1) this.#cache?.set(inferred.by, inferred.input, inferred.output);
      this.statistics.succeed(inferred.by, rows, performance.now() - beganMs, call?.timing?.queue);
      this.#circuits.succeed(inferred.by);
      return inferred;
    } catch (error) {
      this.#circuits.fail(active, error);
      this.statistics.fail(active, performance.now() - beganMs);
      throw error;
    } finally {
      budget.give(rows, costMs);
    }
  }

  /**
   * Computes outputs of a graph for tensors under its own names. Where the tensors are rows of columns, they are counted, logged, compared and watched as
   * rows are that came otherwise.
   *
   * @param outputs - names of the graph's outputs
   * @throws {@link InvalidRequestError} with what onnxruntime says against the tensors
   */
  async inferTensors(
    active: ActiveModel,
    feeds: NamedTensors,
    outputs: readonly string[],
    {
      ids,
      call,
      entity,
    }: { readonly ids: AnswerIds; readonly call?: Call | undefined; readonly entity?: string | undefined },
  ): Promise<AnsweredTensors> {
    const { model } = active;
    const entityKey = this.entityKeyOf(active, entity);
    const rows = Object.values(feeds)[0]?.dims[0] ?? 1;
    const costMs = rows * active.batcher.rowMs;
    const budget = active.variant === CANARY ? this.#tried : this.admission;
    budget.take(rows, costMs, call?.deadlineMs);
    const beganMs = performance.now();
    try {
      const input =
        model.rowsProblem === undefined ? rowsOfTensors(model.signature, model.encoder, feeds, rows) : undefined;
      const deciding = input === undefined ? [] : decidingOutputs(model.signature);
      const { results, by } = await this.#runWatched(
        active,
        feeds,
        [...new Set([...outputs, ...deciding])],
        rows,
        entity,
      );
      this.statistics.succeed(by, rows, performance.now() - beganMs);
      if (input === undefined) {
        this.#count(by, rows);
        const { predictions, clock } = this.#deps;
        const about = { ...ids, entityKey, predictedAtMs: clock.now() };
        const limits = {
          maxValues: this.#maxLoggedTensorValues,
          onLeftOut: () => this.#valuesLeftOut.inc({ model: by.name }),
        };
        predictions.add(new LoggedTensors(by, { inputs: feeds, outputs: results }, about, limits));
        return { results, by, answered: undefined };
      }
      const output = by.model.decisionOf(results, rows);
      const own =
        by === active ? input : (rowsOfTensors(by.model.signature, by.model.encoder, feeds, rows) as RowValues);
      const shadow = this.#deps.models.shadowOf(active.name);
      if (shadow !== undefined) this.#shadows.run(shadow, by, own, rows, output);
      const inferred = { output, input: own, by };
      return { results, by, answered: this.finish(inferred, ids, new TensorRows(by.model, own, rows, entityKey)) };
    } catch (error) {
      this.statistics.fail(active, performance.now() - beganMs);
      throw error;
    } finally {
      budget.give(rows, costMs);
    }
  }

  /** While a canary runs, its guardrails see what becomes of the rows, and production answers where it fails. */
  async #runWatched(
    active: ActiveModel,
    feeds: NamedTensors,
    outputs: readonly string[],
    rows: number,
    entity: string | undefined,
  ): Promise<{ readonly results: NamedTensors; readonly by: ActiveModel }> {
    const watching = this.#watching(active);
    const beganMs = performance.now();
    const observe = (scores: Float64Array | undefined, failed: number): void => {
      const seen = { rows, latencyMs: performance.now() - beganMs, scores, failed };
      watching?.see(active, seen, entitiesOf(entity, rows));
    };
    try {
      const results = await active.model.runTensors(feeds, outputs);
      const isRows = watching !== undefined && active.model.rowsProblem === undefined;
      if (isRows) observe(scoresOf(active.model, active.model.decisionOf(results, rows), rows), 0);
      return { results, by: active };
    } catch (error) {
      const production = watching?.production;
      if (production === undefined || production === active || production.model.shape !== active.model.shape) {
        throw error instanceof PlatformError
          ? error
          : new InvalidRequestError(`model "${active.name}" cannot compute with these tensors: ${messageOf(error)}`);
      }
      const results = await production.model.runTensors(feeds, outputs);
      observe(undefined, rows);
      return { results, by: production };
    }
  }

  /** @throws {@link OutputNotFiniteError} for the first row whose output is no number */
  checkFinite({ by, output }: Inferred, rows: number): void {
    const row = firstNotFinite(by, output, rows);
    if (row === undefined) return;
    const at = row * by.model.outputWidth;
    const value = output.subarray(at, at + by.model.outputWidth).find((each) => !Number.isFinite(each));
    throw new OutputNotFiniteError(by.name, row, value as number);
  }

  #count(active: ActiveModel, rows: number): void {
    this.#answered.set(active, (this.#answered.get(active) ?? 0) + rows);
  }

  /** Counts the rows and hands them to the log. @param indices - of the rows in their request, where they are not all of it */
  finish(inferred: Inferred, ids: AnswerIds, asked: AskedRows, indices?: readonly number[]): AnsweredRows {
    const { predictions, clock } = this.#deps;
    const answered = new AnsweredRows(inferred, asked, { ...ids, predictedAtMs: clock.now(), indices });
    this.#count(inferred.by, asked.count);
    predictions.add(answered);
    return answered;
  }
}

/** What a graph has given for tensors. */
export interface AnsweredTensors {
  readonly results: NamedTensors;
  readonly by: ActiveModel;
  /** Where the tensors are rows. */
  readonly answered: AnsweredRows | undefined;
}

/** Returns the first row whose scores are not all numbers. */
export function firstNotFinite({ model }: ActiveModel, output: RowValues, rows: number): number | undefined {
  const { outputWidth: width, scoreWidth: scores } = model;
  for (let row = 0; row < rows; row += 1) {
    for (let at = row * width; at < row * width + scores; at += 1) {
      const value = output[at] as number;
      if (value - value !== 0) return row;
    }
  }
  return undefined;
}

/** What a request says instead of the store: columns of the model, and unknown fields, which are reported then. */
function overridesOf(given: Features, request: Features, inputs: readonly InputColumn[]): Features | undefined {
  const names = Object.keys(given);
  if (names.length === 0) return undefined;
  const columns = new Set(inputs.map(({ name }) => name));
  const kept = names.filter((name) => columns.has(name) || request[name] === undefined);
  return Object.fromEntries(kept.map((name) => [name, given[name]]));
}

const ageOf = (time: EventTime | undefined, nowMs: number) =>
  time === undefined ? null : { event_time: isoTime(time), age_ms: nowMs - time };
