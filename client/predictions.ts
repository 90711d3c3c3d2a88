import type { RequestOptions, Transport } from './transport.ts';

/** Inputs of one row by name; null is a missing value. */
export type FeatureInput = Readonly<Record<string, string | number | boolean | null>>;

/** A row to score: its features, or an entity whose features the platform looks up. */
export type PredictionRequest = {
  /** May be left out where one model is served. */
  readonly model?: string;
  readonly returnProbabilities?: boolean;
} & ({ readonly entity: string; readonly features?: FeatureInput } | { readonly features: FeatureInput });

/** Rows to score. */
export type BatchRequest = {
  readonly model?: string;
  readonly returnProbabilities?: boolean;
} & ({ readonly entities: readonly string[] } | { readonly instances: readonly FeatureInput[] });

interface Answerer {
  readonly modelName: string;
  readonly modelVersion: number;
  /** `production`, `canary`, or one of an experiment. */
  readonly variant: string;
  readonly requestId: string;
  /** Names this answer in feedback. */
  readonly predictionId: string;
}

/** A model's answer for one row. */
export interface Prediction extends Answerer {
  /** The class, or the value of a regression. */
  readonly prediction: string | number;
  /** By class; where they were requested. */
  readonly probabilities: Readonly<Record<string, number>> | undefined;
}

/** A model's answers for several rows. */
export interface Predictions extends Answerer {
  /** In the order of the rows. */
  readonly predictions: readonly (string | number)[];
  readonly probabilities: readonly Readonly<Record<string, number>>[] | undefined;
}

interface AnswererOnWire {
  readonly model_name: string;
  readonly model_version: number;
  readonly variant: string;
  readonly request_id: string;
  readonly prediction_id: string;
}
type OnWire<T extends Answerer> = AnswererOnWire & Omit<T, keyof Answerer>;

const answererOf = (answer: AnswererOnWire): Answerer => ({
  modelName: answer.model_name,
  modelVersion: answer.model_version,
  variant: answer.variant,
  requestId: answer.request_id,
  predictionId: answer.prediction_id,
});

/** What a model's inputs have added to one of its outputs. */
export interface Contributions {
  readonly output: string;
  /** Of the output without any input. */
  readonly base_value: number;
  readonly value: number;
  readonly contributions: Readonly<Record<string, number | null>>;
}

/** Why a model answered what it did: what each input added to the output. */
export interface Explanation {
  readonly method: 'tree_shap' | 'kernel_shap';
  readonly perturbation: 'tree_path_dependent' | 'interventional';
  readonly scale: 'log_odds' | 'probability' | 'margin' | 'value';
  readonly outputs: readonly Contributions[];
}

/** How a prediction turned out: what it should have been, or what came of it. */
export type Feedback = {
  readonly predictionId: string;
  /** Of a batch, from 0; default: 0. */
  readonly row?: number;
} & ({ readonly label: string | number | boolean } | { readonly value: number });

/** Requests predictions from serving. */
export class PredictionsClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Scores one row. @throws {@link RequestFailedError} with `fields` that the model's signature refuses, or for an entity without features */
  async predict(request: PredictionRequest, options?: RequestOptions): Promise<Prediction> {
    const answer = await this.#transport.post<OnWire<Prediction>>('/predict', bodyOf(request), options);
    return { prediction: answer.prediction, probabilities: answer.probabilities, ...answererOf(answer) };
  }

  /** Returns what each input has added to the prediction of a row. */
  explain({ returnProbabilities: _, ...row }: PredictionRequest, options?: RequestOptions): Promise<Explanation> {
    return this.#transport.post('/explain', bodyOf(row), options);
  }

  /** Reports how predictions turned out, and returns how many were accepted: all, or none. */
  async feedback(reports: Feedback | readonly Feedback[], options?: RequestOptions): Promise<number> {
    const feedback = [reports].flat().map(({ predictionId, row, ...outcome }) => ({
      ...{ prediction_id: predictionId, ...outcome },
      ...(row === undefined ? {} : { row_index: row }),
    }));
    return (await this.#transport.post<{ accepted: number }>('/feedback', { feedback }, options)).accepted;
  }

  /** Scores many rows in one request. */
  async predictBatch(request: BatchRequest, options?: RequestOptions): Promise<Predictions> {
    const rows = 'entities' in request ? { entity_ids: request.entities } : { instances: request.instances };
    const body = { ...settingsOf(request), ...rows };
    const answer = await this.#transport.post<OnWire<Predictions>>('/predict/batch', body, options);
    return { predictions: answer.predictions, probabilities: answer.probabilities, ...answererOf(answer) };
  }
}

const bodyOf = (request: PredictionRequest) => ({
  ...settingsOf(request),
  ...('entity' in request ? { entity_id: request.entity } : {}),
  ...(request.features === undefined ? {} : { features: request.features }),
});

const settingsOf = ({ model, returnProbabilities }: Pick<BatchRequest, 'model' | 'returnProbabilities'>) => ({
  ...(model === undefined ? {} : { model_name: model }),
  ...(returnProbabilities === undefined ? {} : { return_probabilities: returnProbabilities }),
});
