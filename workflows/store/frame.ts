import type { JsonObject, JsonValue } from '#kernel/json';
import type { TokenAnswer } from '#kernel/workflow_runs';
import type { MachinePointer, WorkflowDocument } from '../document/document.ts';

/** `enter`: the state begins, or is attempted again; the others wait for a time, an answer, or branches. */
export type Phase = 'enter' | 'wait' | 'token' | 'join';

/** Where a machine of a run is: its own, or that of a branch. */
export interface Frame {
  readonly runId: string;
  /** Empty for the run's own machine. */
  readonly path: string;
  readonly parentPath: string | null;
  readonly parentStep: number | null;
  readonly machine: MachinePointer;
  readonly item: JsonObject | null;
  readonly state: string;
  readonly phase: Phase;
  /** Counts the states entered. */
  readonly step: number;
  /** Attempts of each state so far, the one that runs included. */
  readonly attempts: Readonly<Record<string, number>>;
  readonly retries: readonly number[];
  readonly input: JsonValue;
  readonly task: string | null;
  readonly enteredAt: string;
  readonly token: string | null;
  readonly answer: TokenAnswer | null;
}

/** A frame that a worker holds, with what its run gives it. */
export interface HeldFrame extends Frame {
  /** Grows with each claim: a commit of an older one is refused. */
  readonly fence: string;
  /** How often it was claimed since it last moved. */
  readonly claims: number;
  /** How long ago the attempt was begun, ms. */
  readonly runningMs: number;
  /** Whether the deadline of the answer it waits for has passed. */
  readonly isTokenLate: boolean;
  readonly workflow: string;
  readonly document: WorkflowDocument;
  readonly runInput: JsonValue;
  readonly runStartedAt: string;
  readonly isLimited: boolean;
}

/** When a frame is taken again. */
export type Due =
  /** The worker keeps it. */
  | { readonly kind: 'hold' }
  | { readonly kind: 'in'; readonly ms: number }
  | { readonly kind: 'until'; readonly ms: number }
  /** With the answer, or when it is late. */
  | { readonly kind: 'token' }
  | { readonly kind: 'never' };

export interface FrameEvent {
  readonly state: string;
  readonly attempt?: number;
  readonly kind: string;
  readonly detail?: JsonValue;
}
