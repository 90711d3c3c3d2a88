/** What holds for each start of a run; counts are of a workflow, or of its runs with the same concurrency key where it has one. */
export interface RunLimits {
  /** So many runs of the workflow run at a time; the others are queued. */
  readonly mostRuns?: number | undefined;
  /** So many runs with the same key run at a time. */
  readonly mostRunsOfKey?: number | undefined;
  /** A start is refused while another run is queued or runs. */
  readonly isOneAtATime?: boolean | undefined;
  /** A start this soon after the end of the newest run is refused, ms. */
  readonly cooldownMs?: number | undefined;
  /** So many runs are started within seven days; more are refused. */
  readonly mostRunsAWeek?: number | undefined;
}
