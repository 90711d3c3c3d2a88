import type { CombineFn, DoFn, SideInputView } from './dofn.ts';
import type { ElementCodec, ExchangeMode } from './element_codec.ts';
import type { SplittableDoFn } from './splitting/splittable.ts';
import type { WindowFn } from './windowing/window.ts';
import type { WindowingStrategy } from './windowing/windowing_strategy.ts';

/** A pipeline as the engine executes it: transforms in topological order, PCollections by id. */
export interface Plan {
  readonly transforms: readonly PlanTransform[];
  /** How elements of each PCollection are encoded; used in strict mode and between threads only. */
  readonly codecs: ReadonlyMap<string, Codec>;
  /** Builds it anew, with DoFns of its own: after a failed bundle those of before hold what the bundle has left in them. */
  readonly rebuild?: () => Plan;
}

/** A coder as the engine sees it. */
export interface Codec {
  /** For messages. */
  readonly name: string;
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
  /** Many, each with its time, window and pane. */
  readonly elements: ElementCodec;
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
        /** Async calls in flight at once. */
        readonly maxConcurrency?: number | undefined;
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
    | {
        readonly kind: 'passThrough';
        readonly input: string;
        readonly output: string;
        /** A Reshuffle: elements may change places, for what follows to be spread. */
        readonly redistributes: boolean;
      }
    | {
        /** The end of a stage; `exchange` names the way to the stage that takes its elements. */
        readonly kind: 'exchangeOut';
        readonly input: string;
        readonly exchange: number;
        readonly mode: ExchangeMode;
        readonly shards: number;
        readonly codec: ElementCodec;
      }
    | { readonly kind: 'exchangeIn'; readonly output: string; readonly exchange: number; readonly codec: ElementCodec }
    | { readonly kind: 'windowInto'; readonly input: string; readonly output: string; readonly windowFn: WindowFn }
    | {
        readonly kind: 'assignTimestamps';
        readonly input: string;
        readonly output: string;
        readonly timestampOf: (value: unknown) => number;
        /** How much earlier than its own an element's new timestamp may be, ms. */
        readonly allowedSkewMs: number;
      }
  );

/** PCollections that a transform reads, side inputs last. */
export function inputsOf(transform: PlanTransform): readonly string[] {
  switch (transform.kind) {
    case 'impulse':
    case 'testStream':
    case 'exchangeIn':
      return [];
    case 'flatten':
      return transform.inputs;
    case 'parDo':
      return [transform.input, ...transform.sideInputs.map(({ input }) => input)];
    default:
      return [transform.input];
  }
}

/** PCollections that a transform puts out. */
export function outputsOf(transform: PlanTransform): readonly string[] {
  switch (transform.kind) {
    case 'parDo':
      return [transform.main, ...Object.values(transform.tagged)];
    case 'exchangeOut':
      return [];
    default:
      return [transform.output];
  }
}
