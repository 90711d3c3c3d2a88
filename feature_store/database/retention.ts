import type { EventTime } from '#kernel/time';

/** Kinds of history with how many rows of them. */
export interface Deleted {
  readonly featureRows: number;
  readonly predictions: number;
  readonly feedback: number;
  readonly labels: number;
  readonly statistics: number;
  readonly driftReports: number;
}

/** Removes what is older than the offline database must keep. */
export interface Retention {
  /**
   * Deletes months of feature rows all of whose event times are older, and predictions, feedback, labels, statistics and drift reports that are; with `dryRun` only counts them.
   *
   * @returns what was, or would be, deleted
   */
  deleteBefore(time: EventTime, dryRun: boolean): Promise<Deleted>;
}
