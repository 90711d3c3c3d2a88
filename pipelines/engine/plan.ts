import type { DoFn } from './dofn.ts';
import type { SplittableDoFn } from './splittable.ts';
import type { WindowFn } from './window.ts';

/** A pipeline as the engine executes it: transforms in topological order, PCollections by id. */
export interface Plan {
  readonly transforms: readonly PlanTransform[];
}

interface Named {
  /** Unique within the pipeline; what snapshots and messages call it. */
  readonly name: string;
}

export type PlanTransform = Named &
  (
    | { readonly kind: 'impulse'; readonly output: string }
    | {
        readonly kind: 'parDo';
        readonly input: string;
        readonly main: string;
        readonly tagged: Readonly<Record<string, string>>;
        readonly doFn: DoFn<never, unknown>;
        readonly allowedLatenessMs: number;
      }
    | {
        readonly kind: 'splittable';
        readonly input: string;
        readonly output: string;
        readonly doFn: SplittableDoFn<unknown, unknown, unknown, unknown>;
      }
    | { readonly kind: 'flatten'; readonly inputs: readonly string[]; readonly output: string }
    | { readonly kind: 'windowInto'; readonly input: string; readonly output: string; readonly windowFn: WindowFn }
    | {
        readonly kind: 'assignTimestamps';
        readonly input: string;
        readonly output: string;
        readonly timestampOf: (value: unknown) => number;
      }
  );
