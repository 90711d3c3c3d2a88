import type { FeedbackRow, FeedbackStore } from '../prediction_store/feedback_store.ts';
import type {
  PredictionPage,
  PredictionPosition,
  PredictionRow,
  PredictionStore,
} from '../prediction_store/prediction_store.ts';

/** Where answers and what came of them are read. */
export interface LoggedStores {
  readonly predictions: Pick<PredictionStore, 'page'>;
  readonly feedback: Pick<FeedbackStore, 'read'>;
}

const PAGE = 1_000;

/** Reads a model's answers, the oldest first, a page at a time, with the outcomes that are known of them. */
export async function* loggedPages(
  { predictions, feedback }: LoggedStores,
  of: Omit<PredictionPage, 'after' | 'limit'>,
): AsyncGenerator<{
  readonly page: readonly PredictionRow[];
  readonly outcomeOf: (row: PredictionRow) => FeedbackRow | undefined;
}> {
  let after: PredictionPosition | undefined;
  for (;;) {
    const page = await predictions.page({ ...of, after, limit: PAGE });
    after = page.at(-1);
    if (after === undefined) return;
    const idOf = ({ predictionId, rowIndex }: Pick<FeedbackRow, 'predictionId' | 'rowIndex'>) =>
      `${predictionId} ${rowIndex}`;
    const outcomes = new Map((await feedback.read(page)).map((outcome) => [idOf(outcome), outcome]));
    yield { page, outcomeOf: (row) => outcomes.get(idOf(row)) };
  }
}
