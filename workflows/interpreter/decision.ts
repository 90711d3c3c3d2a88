import type { JsonValue } from '#kernel/json';
import type { MachinePointer } from '../document/document.ts';

/** A branch of Parallel, or an item of Map. */
export interface Branch {
  /** Its machine, below the one of the state: the state's name and the index of the branch. */
  readonly pointer: MachinePointer;
  readonly input: JsonValue;
  /** `Map.Item` of the context object. */
  readonly item?: { readonly Index: number; readonly Value: JsonValue };
}

/** What a state does next, or what follows it. */
export type Decision =
  | {
      readonly kind: 'task';
      readonly task: string;
      readonly waitsForToken: boolean;
      readonly input: JsonValue;
      readonly timeoutMs: number | undefined;
      readonly heartbeatMs: number | undefined;
    }
  | { readonly kind: 'wait'; readonly forMs: number }
  | { readonly kind: 'wait_until'; readonly untilMs: number }
  | { readonly kind: 'fork'; readonly branches: readonly Branch[]; readonly maxConcurrency: number }
  | { readonly kind: 'next'; readonly state: string; readonly input: JsonValue; readonly caught?: Failure }
  | { readonly kind: 'retry'; readonly delayMs: number; readonly used: readonly number[]; readonly failure: Failure }
  | { readonly kind: 'succeed'; readonly output: JsonValue }
  | { readonly kind: 'fail'; readonly failure: Failure };

/** Why a state failed; `error` is what Retry and Catch match. */
export interface Failure {
  readonly error: string;
  readonly cause: string;
}
