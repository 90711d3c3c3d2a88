import type { CombineFn, DoFn, SideInputView } from './dofn.ts';
import type { SplittableDoFn } from './splittable.ts';
import type { WindowFn } from './window.ts';
import type { WindowingStrategy } from './windowing_strategy.ts';

/** A pipeline as the engine executes it: transforms in topological order, PCollections by id. */
export interface Plan {
  readonly transforms: readonly PlanTransform[];
  /** How elements of each PCollection are encoded; used in strict mode only. */
  readonly codecs: ReadonlyMap<string, Codec>;
}

/** A coder as the engine sees it. */
export interface Codec {
  /** For messages. */
  readonly name: string;
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

interface Named {
  /** Unique within the pipeline; what snapshots and messages call it. */
  readonly name: string;
}

/** A collection that a ParDo reads from the side. */
export interface PlanSideInput {
  readonly view: SideInputView<unknown>;
  readonly input: string;
  readonly windowFn: WindowFn;
}

/** One step of a scripted source. Times in ms; a watermark never moves backwards. */
export type TestStreamEvent =
  | { readonly kind: 'elements'; readonly elements: readonly { readonly value: unknown; readonly timestamp: number }[] }
  | { readonly kind: 'watermark'; readonly to: number }
  | { readonly kind: 'processingTime'; readonly advanceMs: number };

export type PlanTransform = Named &
  (
    | { readonly kind: 'impulse'; readonly output: string }
    | { readonly kind: 'testStream'; readonly output: string; readonly events: readonly TestStreamEvent[] }
    | {
        readonly kind: 'parDo';
        readonly input: string;
        readonly main: string;
        readonly tagged: Readonly<Record<string, string>>;
        readonly sideInputs: readonly PlanSideInput[];
        readonly doFn: DoFn<never, unknown>;
        readonly allowedLatenessMs: number;
      }
    | {
        readonly kind: 'splittable';
        readonly input: string;
        readonly output: string;
        readonly doFn: SplittableDoFn<unknown, unknown, unknown, unknown>;
      }
    | {
        readonly kind: 'groupByKey';
        readonly input: string;
        readonly output: string;
        readonly windowing: WindowingStrategy;
        /** Combines values as they come; without it they are collected. */
        readonly combineFn: CombineFn<never, unknown, unknown> | undefined;
      }
    | {
        readonly kind: 'slidingCombine';
        readonly input: string;
        readonly output: string;
        readonly combineFn: CombineFn<never, unknown, unknown>;
        readonly sizeMs: number;
        readonly periodMs: number;
      }
    | { readonly kind: 'flatten'; readonly inputs: readonly string[]; readonly output: string }
    | { readonly kind: 'passThrough'; readonly input: string; readonly output: string }
    | { readonly kind: 'windowInto'; readonly input: string; readonly output: string; readonly windowFn: WindowFn }
    | {
        readonly kind: 'assignTimestamps';
        readonly input: string;
        readonly output: string;
        readonly timestampOf: (value: unknown) => number;
      }
  );
