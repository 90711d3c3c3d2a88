import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { requestFields } from '#feature_store/retrieval/feature_vector';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';
import type { ColumnProblem } from '#registry/signature_encoder';
import { InvalidFeaturesError, InvalidRequestError, UnknownEntityError } from '../errors.ts';
import type { PredictionLog } from '../prediction_log.ts';
import { interpret, type Predicted } from './interpret.ts';
import { RowBudget } from './micro_batcher.ts';
import type { ActiveModel, ModelServer } from './model_server.ts';
import { ShadowRuns } from './shadow.ts';

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
  readonly entity: string | undefined;
}

/** A row as the log takes it. */
export interface LoggedRow {
  readonly features: Features | string;
  readonly entity: string | undefined;
}

const MOST_PROBLEMS = 100;

/** What the doors have in common: which version answers, features of entities, encoding, running, and the log. */
export class Predictor {
  readonly #deps: PredictorDeps;
  readonly #budget: RowBudget;
  readonly #shadows: ShadowRuns;
  /** Rows answered since the metrics were last read. */
  readonly #answered = new Map<ActiveModel, number>();

  constructor(deps: PredictorDeps, settings: { readonly maxPendingRows: number }) {
    this.#deps = deps;
    this.#budget = new RowBudget(settings.maxPendingRows);
    this.#shadows = new ShadowRuns(deps);
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
   * @param entity - whom the prediction is about, as far as is known: the same one is answered by the same variant
   * @throws what says that no version can answer
   */
  activeFor(name: string | undefined, entity?: string): ActiveModel {
    const { models } = this.#deps;
    const chosen = name ?? models.onlyName;
    if (chosen === undefined) throw new InvalidRequestError('model_name is required: several models are served here');
    return models.active(chosen, entity);
  }

  /** The entities' features from the online store and on demand, those given on top. @throws {@link UnknownEntityError} */
  async lookUp(active: ActiveModel, entities: readonly string[], given: Features): Promise<Row[]> {
    const { features: reader } = this.#deps;
    const { featureService, inputs } = active.model.signature;
    const service = featureService === undefined ? undefined : reader.find(featureService.service);
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
    const columns = new Set(inputs.map(({ name }) => name));
    const overrides = Object.fromEntries(
      Object.entries(given).filter(([name]) => columns.has(name) || request[name] === undefined),
    );
    return vectors.map(({ entity, values, isKnown }) => {
      if (!isKnown) throw new UnknownEntityError(entity, service.signature.service);
      const wanted = Object.fromEntries(inputs.map(({ name }) => [name, values[name]]));
      return { features: { ...wanted, ...overrides }, entity };
    });
  }

  /**
   * @param prefix - of a row's fields in messages
   * @returns FP32 [rows, columns], row-major
   * @throws {@link InvalidFeaturesError} with every bad field
   */
  encode({ model }: ActiveModel, rows: readonly Row[], prefix: (index: number) => string): Float32Array {
    const { encoder } = model;
    const input = new Float32Array(rows.length * encoder.width);
    let problems: ColumnProblem[] | undefined;
    for (let index = 0; index < rows.length; index += 1) {
      const found = encoder.encode((rows[index] as Row).features, input, index * encoder.width);
      if (found === undefined) continue;
      problems ??= [];
      for (const { field, problem } of found) problems.push({ field: `${prefix(index)}${field}`, problem });
    }
    if (problems !== undefined) throw new InvalidFeaturesError(problems.slice(0, MOST_PROBLEMS));
    return input;
  }

  /** @returns FP32 [rows, outputWidth], row-major. @throws {@link OverloadedError} */
  async infer(active: ActiveModel, input: Float32Array, rows: number): Promise<Float32Array> {
    this.#budget.take(rows);
    try {
      const output = await active.batcher.infer(input, rows);
      const shadow = this.#deps.models.shadowOf(active.name);
      if (shadow !== undefined) this.#shadows.run(shadow, active, input, rows, output);
      return output;
    } finally {
      this.#budget.give(rows);
    }
  }

  #count(active: ActiveModel, rows: number): void {
    this.#answered.set(active, (this.#answered.get(active) ?? 0) + rows);
  }

  /**
   * What the outputs mean, counted and logged.
   *
   * @param rows - whose features may be the text that they came in
   */
  finish(active: ActiveModel, requestId: string, rows: readonly LoggedRow[], output: Float32Array): Predicted[] {
    const { name, version, variant, model } = active;
    const { predictions, clock } = this.#deps;
    const { outputWidth, signature } = model;
    const predictedAtMs = clock.now();
    this.#count(active, rows.length);
    return rows.map(({ features, entity }, index) => {
      const predicted = interpret(signature, output, index * outputWidth);
      predictions.add({
        requestId,
        rowIndex: index,
        modelName: name,
        modelVersion: version,
        variant,
        entityKey: entity,
        features,
        prediction: String(predicted.prediction),
        probabilities: predicted.outputs,
        predictedAtMs,
      });
      return predicted;
    });
  }
}
