import type { JsonValue } from '#kernel/json';

export const RUN_STATUSES = ['queued', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

/** What started a run. */
export interface RunOrigin {
  readonly kind: 'manual' | 'schedule' | 'backfill' | 'trigger';
  /** Who called, or the name of the schedule or trigger. */
  readonly by: string;
  /** The schedule that it is a run of. */
  readonly schedule?: string;
  /** The scheduled time, RFC 3339. */
  readonly at?: string;
}

/** A run without its document. Times are RFC 3339. */
export interface RunRecord {
  readonly id: string;
  readonly workflow: string;
  readonly status: RunStatus;
  readonly input: JsonValue;
  readonly output: JsonValue | null;
  readonly error: string | null;
  readonly cause: string | null;
  readonly origin: RunOrigin;
  readonly concurrencyKey: string;
  readonly queuedAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  /** States it is in, `path/state` for those of branches, with what each waits for. */
  readonly at: readonly {
    readonly path: string;
    readonly state: string;
    readonly phase: string;
    readonly task: string | null;
  }[];
}

/** An entry of a run's history. */
export interface RunEvent {
  readonly n: number;
  readonly at: string;
  readonly path: string;
  readonly state: string | null;
  readonly attempt: number | null;
  readonly kind: string;
  readonly detail: JsonValue;
}

export interface LogLine {
  readonly n: number;
  readonly at: string;
  readonly path: string;
  readonly state: string;
  readonly attempt: number;
  readonly stream: string;
  readonly line: string;
}

/** The answer to a state that waits for a token. */
export type TokenAnswer = { readonly output: JsonValue } | { readonly error: string; readonly cause: string };

/** A data set or model that a run has read or made. */
export interface RunDataset {
  readonly direction: 'input' | 'output';
  readonly name: string;
  /** Empty: it has none. */
  readonly version: string;
}
