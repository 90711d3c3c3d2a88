import { eventTime } from '#kernel/time';
import { RestTracker } from '#pipelines/engine/splitting/rest_tracker';
import {
  type ProcessContinuation,
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
import type { CheckpointStore, Outcome, OutcomePlace } from './checkpoint_store.ts';

/** Plain data, for snapshots. */
interface OutcomePosition {
  readonly after: OutcomePlace | null;
}

export interface OutcomeSourceSettings {
  /** Pause when there is nothing new, ms. */
  readonly everyMs: number;
  /**
   * Outcomes are read so long after they were received, ms: several processes write them, whose clocks differ, and the prediction may be written a little
   * later than its outcome.
   */
  readonly settleMs: number;
  /** Ends when all have been read, for tests. */
  readonly bounded?: boolean | undefined;
  readonly now?: () => number;
}

const PAGE = 1_000;

/** Reads outcomes of a model's predictions as they are received, at the time of that. */
export class OutcomeSource implements SplittableDoFn<string, Outcome, OutcomePosition, OutcomePosition> {
  readonly splittable = true;
  readonly bounded: boolean;
  readonly #store: Pick<CheckpointStore, 'outcomes'>;
  readonly #settings: OutcomeSourceSettings;

  constructor(store: Pick<CheckpointStore, 'outcomes'>, settings: OutcomeSourceSettings) {
    this.#store = store;
    this.#settings = settings;
    this.bounded = settings.bounded === true;
  }

  initialRestrictions(): OutcomePosition[] {
    return [{ after: null }];
  }

  createTracker(position: OutcomePosition): RestTracker<OutcomePosition> {
    return new RestTracker(position);
  }

  async process(
    model: string,
    { after }: OutcomePosition,
    tracker: RestrictionTracker<OutcomePosition, OutcomePosition>,
    context: SplittableContext<Outcome, OutcomePosition>,
  ): Promise<ProcessContinuation> {
    const { everyMs, settleMs, now = Date.now } = this.#settings;
    const untilMs = now() - settleMs;
    const page = await this.#store.outcomes({ model, after: after ?? undefined, untilMs, limit: PAGE });
    for (const outcome of page) context.output(outcome, eventTime(outcome.receivedAtMs));
    const last = page.at(-1);
    if (last !== undefined) tracker.tryClaim({ after: last.place });
    const isFull = page.length === PAGE;
    context.advanceWatermark(eventTime(isFull ? (last as Outcome).receivedAtMs : untilMs));
    if (isFull) return resumeAfter(0);
    return this.bounded ? STOP : resumeAfter(everyMs);
  }
}
