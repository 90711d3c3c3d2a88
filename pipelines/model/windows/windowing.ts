import { InvalidPipelineError } from '#pipelines/engine/errors';
import { shown } from '#pipelines/engine/time/check_time';
import type { Trigger } from '#pipelines/engine/windowing/trigger';
import * as engine from '#pipelines/engine/windowing/window';
import type { WindowingStrategy } from '#pipelines/engine/windowing/windowing_strategy';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import type { Duration } from '#pipelines/proto/duration';
import * as protos from '#pipelines/proto/standard_window_fns';
import type { Coder } from '../coders/coder.ts';
import { GlobalWindowCoder, IntervalWindowCoder } from '../coders/standard_coders.ts';
import { findFunction, registerFunction } from '../function_table.ts';
import * as urns from '../urns.ts';
import { checkTrigger, continuationOf, triggerFromProto, triggerToProto } from './triggers.ts';

export type StrategyProto = runnerApi.WindowingStrategy;
type ComponentsProto = runnerApi.Components;

/** The graph that a strategy is written into. */
interface Graph {
  readonly defaultEnvironment: string;
  getCoderId(coder: Coder<engine.Window>): string;
}

/** A window function as a graph holds it. */
export interface WindowFnSpec {
  readonly urn: string;
  readonly payload: Uint8Array;
  readonly coder: Coder<engine.Window>;
  readonly merging: boolean;
  readonly assignsToOneWindow: boolean;
  /** The function itself, when its URN does not say it. */
  readonly custom?: engine.WindowFn;
}

/** How a collection is cut in event time, and when groups of it are emitted. */
export interface Windowing {
  readonly windowFn: WindowFnSpec;
  /** How long after its end a window still takes elements, ms. Default 0. */
  readonly allowedLatenessMs?: number;
  /** When panes are emitted. Default: at the end of the window, and for each late element. */
  readonly trigger?: Trigger;
  /** Later panes hold everything so far ('accumulating') or only what is new ('discarding', the default). */
  readonly accumulation?: 'accumulating' | 'discarding';
  /** The timestamp of a pane. Default: the end of its window. */
  readonly timestampCombiner?: 'endOfWindow' | 'earliest' | 'latest';
  /** Whether the pane at the end of the window comes even when nothing is new. Default: only with something in it. */
  readonly onTimeBehavior?: 'always' | 'ifNonEmpty';
}

const NOTHING = new Uint8Array(0);

/** Whole milliseconds. @throws {@link InvalidPipelineError} for what is no number, and for less than `least` */
function millisecondsOf(what: string, seconds: number, least: number): number {
  const millis = Math.round(seconds * 1_000);
  if (typeof seconds !== 'number' || !Number.isSafeInteger(millis) || millis < least) {
    throw new InvalidPipelineError(`${what} is ${shown(seconds)} s: give seconds, at least ${least / 1_000}`);
  }
  return millis;
}

/** @throws {@link InvalidPipelineError} for an offset that is not within the step by which windows begin */
function offsetMs(what: string, offsetSeconds: number, stepMs: number): number {
  const offset = millisecondsOf(`the offset of ${what}`, offsetSeconds, 0);
  if (offset < stepMs) return offset;
  throw new InvalidPipelineError(
    `the offset of ${what} is ${offsetSeconds} s, and windows begin every ${stepMs / 1_000} s: give an offset of less`,
  );
}

const durationOf = (millis: number): Duration => {
  return { seconds: BigInt(Math.floor(millis / 1_000)), nanos: (((millis % 1_000) + 1_000) % 1_000) * 1e6 };
};

/** Assigns elements to all of time as one window: the default. */
export const globalWindows = (): WindowFnSpec => ({
  urn: urns.GLOBAL_WINDOWS,
  payload: NOTHING,
  coder: new GlobalWindowCoder(),
  merging: false,
  assignsToOneWindow: true,
});

/** Assigns elements to tumbling windows. Sizes in seconds, as everywhere in Beam's SDKs for people. */
export const fixedWindows = (sizeSeconds: number, offsetSeconds = 0): WindowFnSpec => {
  const sizeMs = millisecondsOf('the size of fixed windows', sizeSeconds, 1);
  const offset = offsetMs('fixed windows', offsetSeconds, sizeMs);
  return {
    urn: urns.FIXED_WINDOWS,
    payload: protos.FixedWindowsPayload.toBinary({ size: durationOf(sizeMs), offset: durationOf(offset) }),
    coder: new IntervalWindowCoder(),
    merging: false,
    assignsToOneWindow: true,
  };
};

/** Assigns elements to overlapping windows of `sizeSeconds`, one beginning every `periodSeconds`. With a longer period, elements between two windows are in none. */
export const slidingWindows = (sizeSeconds: number, periodSeconds: number, offsetSeconds = 0): WindowFnSpec => {
  const sizeMs = millisecondsOf('the size of sliding windows', sizeSeconds, 1);
  const periodMs = millisecondsOf('the period of sliding windows', periodSeconds, 1);
  const offset = offsetMs('sliding windows', offsetSeconds, periodMs);
  return {
    urn: urns.SLIDING_WINDOWS,
    payload: protos.SlidingWindowsPayload.toBinary({
      size: durationOf(sizeMs),
      period: durationOf(periodMs),
      offset: durationOf(offset),
    }),
    coder: new IntervalWindowCoder(),
    merging: false,
    assignsToOneWindow: sizeMs <= periodMs,
  };
};

/** Windows that close after `gapSeconds` without an element of their key. */
export const sessions = (gapSeconds: number): WindowFnSpec => ({
  urn: urns.SESSION_WINDOWS,
  payload: protos.SessionWindowsPayload.toBinary({
    gapSize: durationOf(millisecondsOf('the gap of sessions', gapSeconds, 1)),
  }),
  coder: new IntervalWindowCoder(),
  merging: true,
  assignsToOneWindow: true,
});

/**
 * Windows by a function of your own. `name` is what the graph calls it: two functions of one pipeline have two names.
 * Windows are intervals; with `merge`, those of one key are brought together when elements are grouped.
 */
export const customWindows = (windowFn: engine.WindowFn): WindowFnSpec => ({
  urn: urns.WINDOW_FN_BY_NAME,
  payload: new TextEncoder().encode(windowFn.name),
  coder: new IntervalWindowCoder(),
  merging: windowFn.merge !== undefined,
  assignsToOneWindow: false,
  custom: windowFn,
});

const customKey = (name: string): string => `\u0000windowFn:${name}`;

export function windowingStrategyProto(pipeline: Graph, windowing: Windowing): StrategyProto {
  const {
    windowFn,
    trigger = { kind: 'default' },
    timestampCombiner = 'endOfWindow',
    allowedLatenessMs = 0,
  } = windowing;
  if (!(Number.isSafeInteger(allowedLatenessMs) && allowedLatenessMs >= 0)) {
    throw new InvalidPipelineError(
      `allowedLatenessMs is ${shown(allowedLatenessMs)}: give whole milliseconds from 0 on`,
    );
  }
  checkTrigger(trigger);
  const { custom } = windowFn;
  if (custom !== undefined) {
    const before = findFunction(pipeline, customKey(custom.name));
    if (before !== undefined && before !== custom) {
      throw new InvalidPipelineError(`two window functions are called "${custom.name}": give one another name`);
    }
    registerFunction(pipeline, customKey(custom.name), custom);
  }
  const { AccumulationMode_Enum, ClosingBehavior_Enum, MergeStatus_Enum, OnTimeBehavior_Enum } = runnerApi;
  return runnerApi.WindowingStrategy.create({
    windowFn: { urn: windowFn.urn, payload: windowFn.payload },
    mergeStatus: windowFn.merging ? MergeStatus_Enum.NEEDS_MERGE : MergeStatus_Enum.NON_MERGING,
    windowCoderId: pipeline.getCoderId(windowFn.coder),
    trigger: triggerToProto(trigger),
    accumulationMode:
      windowing.accumulation === 'accumulating' ? AccumulationMode_Enum.ACCUMULATING : AccumulationMode_Enum.DISCARDING,
    outputTime: OUTPUT_TIMES[timestampCombiner],
    closingBehavior: ClosingBehavior_Enum.EMIT_IF_NONEMPTY,
    allowedLateness: BigInt(allowedLatenessMs),
    onTimeBehavior:
      windowing.onTimeBehavior === 'always' ? OnTimeBehavior_Enum.FIRE_ALWAYS : OnTimeBehavior_Enum.FIRE_IF_NONEMPTY,
    assignsToOneWindow: windowFn.assignsToOneWindow,
    environmentId: pipeline.defaultEnvironment,
  });
}

const OUTPUT_TIMES = {
  endOfWindow: runnerApi.OutputTime_Enum.END_OF_WINDOW,
  earliest: runnerApi.OutputTime_Enum.EARLIEST_IN_PANE,
  latest: runnerApi.OutputTime_Enum.LATEST_IN_PANE,
} as const;

/** Returns the windowing of a strategy whose window function is one of Beam's own. @throws {@link InvalidPipelineError} for another */
export function windowingFromProto(strategy: StrategyProto = runnerApi.WindowingStrategy.create()): Windowing {
  const { urn, payload } = strategy.windowFn ?? { urn: urns.GLOBAL_WINDOWS, payload: NOTHING };
  if (!STANDARD_WINDOW_FNS.includes(urn)) {
    throw new InvalidPipelineError(`window function ${urn} is not known; known are ${STANDARD_WINDOW_FNS.join(', ')}`);
  }
  const { AccumulationMode_Enum, MergeStatus_Enum, OnTimeBehavior_Enum } = runnerApi;
  return {
    windowFn: {
      ...{ urn, payload, assignsToOneWindow: strategy.assignsToOneWindow },
      coder: urn === urns.GLOBAL_WINDOWS ? new GlobalWindowCoder() : new IntervalWindowCoder(),
      merging: strategy.mergeStatus !== MergeStatus_Enum.NON_MERGING,
    },
    trigger: triggerFromProto(strategy.trigger),
    allowedLatenessMs: Number(strategy.allowedLateness),
    accumulation: strategy.accumulationMode === AccumulationMode_Enum.ACCUMULATING ? 'accumulating' : 'discarding',
    timestampCombiner: timestampCombinerOf(strategy),
    onTimeBehavior: strategy.onTimeBehavior === OnTimeBehavior_Enum.FIRE_ALWAYS ? 'always' : 'ifNonEmpty',
  };
}

const STANDARD_WINDOW_FNS: readonly string[] = [
  urns.GLOBAL_WINDOWS,
  urns.FIXED_WINDOWS,
  urns.SLIDING_WINDOWS,
  urns.SESSION_WINDOWS,
];

function timestampCombinerOf({ outputTime }: StrategyProto): 'earliest' | 'latest' | 'endOfWindow' {
  const { EARLIEST_IN_PANE, LATEST_IN_PANE } = runnerApi.OutputTime_Enum;
  if (outputTime === EARLIEST_IN_PANE) return 'earliest';
  return outputTime === LATEST_IN_PANE ? 'latest' : 'endOfWindow';
}

/** The strategy of what a grouping puts out: windows are merged already, and panes do not wait again. */
export function strategyAfterGrouping(strategy: StrategyProto): StrategyProto {
  const { MergeStatus_Enum } = runnerApi;
  const after = runnerApi.WindowingStrategy.clone(strategy);
  after.trigger = triggerToProto(continuationOf(triggerFromProto(strategy.trigger)));
  if (after.mergeStatus === MergeStatus_Enum.NEEDS_MERGE) after.mergeStatus = MergeStatus_Enum.ALREADY_MERGED;
  return after;
}

/** The engine's view of a collection's windowing. */
export function windowingOf(pipeline: object, components: ComponentsProto, collectionId: string): WindowingStrategy {
  const strategy = strategyOf(components, collectionId);
  const windowFn = windowFnOf(pipeline, strategy.windowFn);
  const { AccumulationMode_Enum, MergeStatus_Enum, OnTimeBehavior_Enum } = runnerApi;
  return {
    windowFn: strategy.mergeStatus === MergeStatus_Enum.ALREADY_MERGED ? withoutMerging(windowFn) : windowFn,
    trigger: triggerFromProto(strategy.trigger),
    accumulating: strategy.accumulationMode === AccumulationMode_Enum.ACCUMULATING,
    allowedLatenessMs: Number(strategy.allowedLateness),
    timestampCombiner: timestampCombinerOf(strategy),
    emptyOnTimePanes: strategy.onTimeBehavior === OnTimeBehavior_Enum.FIRE_ALWAYS,
  };
}

const withoutMerging = ({ name, assign }: engine.WindowFn): engine.WindowFn => ({ name, assign });

/** The engine's window function for a spec. @throws {@link InvalidPipelineError} for one it does not know */
export function windowFnOf(
  pipeline: object,
  spec: { readonly urn: string; readonly payload: Uint8Array } | undefined,
): engine.WindowFn {
  switch (spec?.urn) {
    case undefined:
    case urns.GLOBAL_WINDOWS:
      return engine.globalWindows;
    case urns.FIXED_WINDOWS: {
      const { size, offset } = protos.FixedWindowsPayload.fromBinary(spec.payload);
      return engine.fixedWindows(millisOf(size), millisOf(offset));
    }
    case urns.SLIDING_WINDOWS: {
      const { size, period, offset } = protos.SlidingWindowsPayload.fromBinary(spec.payload);
      return engine.slidingWindows(millisOf(size), millisOf(period), millisOf(offset));
    }
    case urns.SESSION_WINDOWS:
      return engine.sessions(millisOf(protos.SessionWindowsPayload.fromBinary(spec.payload).gapSize));
    case urns.WINDOW_FN_BY_NAME: {
      const name = new TextDecoder().decode(spec.payload);
      const windowFn = findFunction(pipeline, customKey(name)) as engine.WindowFn | undefined;
      if (windowFn !== undefined) return engine.checkedWindowFn(windowFn);
      throw new InvalidPipelineError(`window function "${name}" is not in this process: build the same graph here`);
    }
    default:
      throw new InvalidPipelineError(`window function ${spec?.urn} is not known`);
  }
}

export function strategyOf(components: ComponentsProto, collectionId: string): StrategyProto {
  const id = components.pcollections[collectionId]?.windowingStrategyId ?? '';
  return components.windowingStrategies[id] ?? runnerApi.WindowingStrategy.create();
}

function millisOf(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}
