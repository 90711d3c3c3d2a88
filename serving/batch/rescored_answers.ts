import type { AskedMoment, RowValues } from '#feature_store/comparison/view_comparison';
import type { ThresholdRule } from '../models/adaptive_threshold.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { FeedbackRow } from '../prediction_store/feedback_store.ts';
import type { PredictionRow } from '../prediction_store/prediction_store.ts';
import { type Answer, AnswerScorer } from './answer_scorer.ts';
import { type LoggedStores, loggedPages } from './logged_pages.ts';

/** An answer whose outcome is known, as it was logged, and with a view's features as two definitions of it give them. */
export interface RescoredAnswer {
  readonly logged: Answer;
  readonly before: Answer;
  readonly after: Answer;
  readonly outcome: FeedbackRow;
}

interface Judged {
  readonly row: PredictionRow;
  readonly outcome: FeedbackRow;
  before: RowValues | undefined;
  after: RowValues | undefined;
}

/** The newest ones that are kept. */
const MOST_ROWS = 200_000;
const ROWS_A_RUN = 1_000;

/** Logged answers with known outcomes, to be computed again with other values of some columns. */
export class RescoredAnswers {
  /** At which the values are read. */
  readonly moments: readonly AskedMoment[];
  readonly #judged: readonly Judged[];

  private constructor(judged: readonly Judged[]) {
    this.#judged = judged;
    this.moments = judged.flatMap((each) => {
      const { entityKey, predictedAtMs } = each.row;
      if (entityKey === undefined) return [];
      const read: AskedMoment['read'] = (before, after) => {
        each.before = before;
        each.after = after;
      };
      return [{ entityKey, timeMs: predictedAtMs, read }];
    });
  }

  /**
   * Reads the newest answers of a model in [sinceMs, untilMs), at most 200,000.
   *
   * @param isOf - whether an entity is one that the view is of
   */
  static async read(
    stores: LoggedStores,
    of: { readonly modelName: string; readonly sinceMs: number; readonly untilMs: number },
    isOf: (entityKey: string) => boolean,
  ): Promise<RescoredAnswers> {
    let judged: Judged[] = [];
    for await (const { page, outcomeOf } of loggedPages(stores, of)) {
      for (const row of page) {
        const outcome = outcomeOf(row);
        if (row.entityKey === undefined || !isOf(row.entityKey) || outcome === undefined) continue;
        judged.push({ row, outcome, before: undefined, after: undefined });
      }
      // Cut off in whole parts: one by one would move the rest each time.
      if (judged.length >= 2 * MOST_ROWS) judged = judged.slice(-MOST_ROWS);
    }
    return new RescoredAnswers(judged.slice(-MOST_ROWS));
  }

  /**
   * Computes the answers with the values that were read; call it once all moments were.
   *
   * @param columns - of the model, whose values come from the view
   * @returns the answers, and how many rows the model does not take with one of the definitions
   */
  async score(
    model: LoadedModel,
    columns: readonly string[],
    thresholds: readonly ThresholdRule[],
  ): Promise<{ readonly answers: readonly RescoredAnswer[]; readonly refused: number }> {
    const { encoder } = model;
    const scorer = new AnswerScorer(model, thresholds);
    const answers: RescoredAnswer[] = [];
    let refused = 0;
    for (let from = 0; from < this.#judged.length; from += ROWS_A_RUN) {
      const part = this.#judged.slice(from, from + ROWS_A_RUN);
      const input = encoder.allocate(2 * part.length);
      const taken: Judged[] = [];
      for (const each of part) {
        const offset = 2 * taken.length * encoder.width;
        const problems = [each.before, each.after].map((values, side) =>
          encoder.encode(replaced(each.row.features, columns, values), input, offset + side * encoder.width),
        );
        if (problems.every((found) => found === undefined)) taken.push(each);
        else refused += 1;
      }
      const found = await scorer.answers(input, 2 * taken.length);
      for (const [at, { row, outcome }] of taken.entries())
        answers.push({ logged: row, before: found[2 * at] as Answer, after: found[2 * at + 1] as Answer, outcome });
    }
    return { answers, refused };
  }
}

/** Returns a row's features with these columns as the values have them; null where there are none. */
function replaced(
  features: PredictionRow['features'],
  columns: readonly string[],
  values: RowValues | undefined,
): Readonly<Record<string, unknown>> {
  const row: Record<string, unknown> = { ...features };
  for (const column of columns) row[column] = values?.[column] ?? null;
  return row;
}
