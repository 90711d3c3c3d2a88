import { JobState } from '#pipelines/engine/state/job_state';

/** When the features of a view fail for more than a share of its newest events, the view stops. */
export interface FailureLimit {
  /** 0 to 1. */
  readonly share: number;
  /** So many events are looked at before that. */
  readonly minEvents: number;
}

export const DEFAULT_FAILURE_LIMIT: FailureLimit = { share: 0.5, minEvents: 100 };

/** Older events weigh less: counts are halved when they reach so many times `minEvents`. */
const REMEMBERED = 10;

/** How many of the newest events have failed. */
export interface FailureCounts {
  readonly events: number;
  readonly failed: number;
  /** Stays so once it was. */
  readonly isExceeded: boolean;
}

/** Events of one bundle. */
export interface CountedEvents {
  readonly events: number;
  readonly failed: number;
  /** Why one of them has failed. */
  readonly reason?: string | undefined;
}

/** Returns the counts after some more events. */
export function withEvents(
  counts: FailureCounts,
  added: CountedEvents,
  { share, minEvents }: FailureLimit,
): FailureCounts {
  let events = counts.events + added.events;
  let failed = counts.failed + added.failed;
  const isExceeded = counts.isExceeded || (added.failed > 0 && events >= minEvents && failed > share * events);
  while (events >= REMEMBERED * minEvents) {
    events /= 2;
    failed /= 2;
  }
  return { events, failed, isExceeded };
}

export interface FailureCountsSettings {
  readonly limit: FailureLimit;
  /** Of the view's definitions: counts of others do not stop it. */
  readonly identity: string;
  /** The view starts although it had stopped. */
  readonly isResumed: boolean;
  /** Called when the view stops, and when it is still stopped after a restart. */
  readonly onStop: (counts: FailureCounts, reason: string | undefined) => void;
}

/** The counts of one view, over all threads of the job. */
export function failureCounts({
  limit,
  identity,
  isResumed,
  onStop,
}: FailureCountsSettings): JobState<FailureCounts, CountedEvents> {
  let reason: string | undefined;
  return new JobState<FailureCounts, CountedEvents>({
    id: 'failures',
    identity,
    startsAfresh: isResumed,
    initial: { events: 0, failed: 0, isExceeded: false },
    merge: (a, b) => ({ events: a.events + b.events, failed: a.failed + b.failed, reason: a.reason ?? b.reason }),
    apply(counts, added) {
      reason = added.reason;
      return withEvents(counts, added, limit);
    },
    onChange(counts, before) {
      if (counts.isExceeded && !before.isExceeded) onStop(counts, reason);
    },
  });
}
