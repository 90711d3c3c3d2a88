import type { RequestOptions, Transport } from './transport.ts';

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

export interface Prediction extends Answerer {
  /** The class, or the value of a regression. */
  readonly prediction: string | number;
  /** By class; where they were requested. */
  readonly probabilities: Readonly<Record<string, number>> | undefined;
}

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

/** Requests predictions from serving. */
export class PredictionsClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Scores one row. @throws {@link RequestFailedError} with `fields` that the model's signature refuses, or for an entity without features */
  async predict(request: PredictionRequest, options?: RequestOptions): Promise<Prediction> {
    const { features } = request;
    const body = {
      ...settingsOf(request),
      ...('entity' in request ? { entity_id: request.entity } : {}),
      ...(features === undefined ? {} : { features }),
    };
    const answer = await this.#transport.post<OnWire<Prediction>>('/predict', body, options);
    return { prediction: answer.prediction, probabilities: answer.probabilities, ...answererOf(answer) };
  }

  /** Scores many rows in one request. */
  async predictBatch(request: BatchRequest, options?: RequestOptions): Promise<Predictions> {
    const rows = 'entities' in request ? { entity_ids: request.entities } : { instances: request.instances };
    const body = { ...settingsOf(request), ...rows };
    const answer = await this.#transport.post<OnWire<Predictions>>('/predict/batch', body, options);
    return { predictions: answer.predictions, probabilities: answer.probabilities, ...answererOf(answer) };
  }
}

const settingsOf = ({ model, returnProbabilities }: Pick<BatchRequest, 'model' | 'returnProbabilities'>) => ({
  ...(model === undefined ? {} : { model_name: model }),
  ...(returnProbabilities === undefined ? {} : { return_probabilities: returnProbabilities }),
});
