import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';
import { interpret, type Predicted, type Prediction, predictionOf } from '../models/interpret.ts';
import type { Inferred } from '../routing/watched_inference.ts';

/** A row as the log takes it: its features as they are, or as the JSON text that they came in. */
export interface AskedRow {
  readonly features: NewPrediction['features'];
  /** Whose they are when they were looked up. */
  readonly entity: EntityKey | undefined;
}

/** The rows of a request. */
export interface AskedRows {
  readonly count: number;
  at(index: number): AskedRow;
}

/** @param entity - of all rows, where the request names it beside them */
export const listOf = (rows: readonly AskedRow[], entity?: EntityKey): AskedRows => ({
  count: rows.length,
  at: (index) => {
    const row = rows[index] as AskedRow;
    return entity === undefined ? row : { features: row.features, entity };
  },
});

/** Whom rows are about, one by one; undefined where that is not known. @param about - the rows, or the entity of all of them */
export function entitiesOf(about: AskedRows | string | undefined, rows: number): readonly string[] | undefined {
  if (typeof about === 'string') return new Array<string>(rows).fill(about);
  const entities = Array.from({ length: about?.count ?? 0 }, (_, index) => about?.at(index).entity);
  const known = entities.flatMap((entity) => (entity === undefined ? [] : [idOf(entity)]));
  return known.length === rows ? known : undefined;
}

/** Returns what was predicted as the log has it. */
export const loggedPrediction = ({
  prediction,
  outputs,
}: Predicted): Pick<NewPrediction, 'prediction' | 'probabilities'> => ({
  prediction: typeof prediction === 'object' ? JSON.stringify(prediction) : String(prediction),
  probabilities: outputs,
});

/** What names an answer. */
export interface AnswerIds {
  /** The caller's, or one made for it. */
  readonly requestId: string;
  /** The platform's own: no two answers have one. */
  readonly predictionId: string;
}

/** Which answer it is, and when it was given. */
interface Occasion extends AnswerIds {
  readonly predictedAtMs: number;
  /** Of the rows in their request, where they are not all of it. */
  readonly indices?: readonly number[] | undefined;
}

/**
 * Rows that were computed. What a row's output means is made when it is read: many answers want the predictions alone, and the log takes the rest
 * later, a few rows at a time. Until then a hundred rows are one object.
 */
export class AnsweredRows {
  readonly count: number;
  readonly #inferred: Inferred;
  readonly #asked: AskedRows;
  readonly #occasion: Occasion;

  constructor(inferred: Inferred, asked: AskedRows, occasion: Occasion) {
    this.count = asked.count;
    this.#inferred = inferred;
    this.#asked = asked;
    this.#occasion = occasion;
  }

  prediction(index: number): Prediction {
    const { model } = this.#inferred.by;
    return predictionOf(model, this.#inferred.output, index * model.outputWidth, this.#threshold(index));
  }

  predictions(): Prediction[] {
    return Array.from({ length: this.count }, (_, index) => this.prediction(index));
  }

  at(index: number): Predicted {
    const { output, by } = this.#inferred;
    const threshold = this.#threshold(index);
    const predicted = interpret(by.model, output, index * by.model.outputWidth, threshold);
    return threshold === undefined ? predicted : { ...predicted, threshold };
  }

  all(): Predicted[] {
    return Array.from({ length: this.count }, (_, index) => this.at(index));
  }

  /** A row for the log. */
  logged(index: number): NewPrediction {
    const { name, version, variant, experiment } = this.#inferred.by;
    const { requestId, predictionId, predictedAtMs, indices } = this.#occasion;
    const { features, entity } = this.#asked.at(index);
    return {
      predictionId,
      requestId,
      rowIndex: indices?.[index] ?? index,
      modelName: name,
      modelVersion: version,
      variant,
      experiment,
      entityKey: entity,
      features,
      ...loggedPrediction(this.at(index)),
      predictedAtMs,
    };
  }

  /** Where it depends on the row. */
  #threshold(index: number): number | undefined {
    const { by, input } = this.#inferred;
    return by.threshold?.of(input, index * by.model.encoder.width);
  }
}
