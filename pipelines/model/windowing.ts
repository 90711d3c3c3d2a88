import { createRequire } from 'node:module';
import type * as WindowProtos from 'apache-beam/proto/standard_window_fns';
import type * as WindowTypes from 'apache-beam/transforms/window';
import type * as WindowingTypes from 'apache-beam/transforms/windowings';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import * as engine from '#pipelines/engine/window';
import { type BeamPipeline, type ComponentsProto, runnerApi } from './beam.ts';
import * as urns from './urns.ts';

const require = createRequire(import.meta.url);
const beam = require('apache-beam/transforms/windowings') as typeof WindowingTypes;
const { createWindowingStrategyProto } = require('apache-beam/transforms/window') as typeof WindowTypes;
const protos = require('apache-beam/proto/standard_window_fns') as typeof WindowProtos;

type BeamWindowFn = ReturnType<typeof beam.globalWindows> | ReturnType<typeof beam.fixedWindows>;
type StrategyProto = ReturnType<typeof createWindowingStrategyProto>;

/** How a collection is cut in event time. */
export interface Windowing {
  readonly windowFn: BeamWindowFn;
  /** How long after its end a window still takes elements, ms. */
  readonly allowedLatenessMs?: number;
}

/** All of time as one window: the default. */
export const globalWindows = (): BeamWindowFn => beam.globalWindows();
/** Tumbling windows. Sizes in seconds, as everywhere in Beam's SDKs for people. */
export const fixedWindows = (sizeSeconds: number): BeamWindowFn => beam.fixedWindows(sizeSeconds);
/** Overlapping windows of `sizeSeconds`, one beginning every `periodSeconds`. */
export const slidingWindows = (sizeSeconds: number, periodSeconds: number): BeamWindowFn =>
  beam.slidingWindows(sizeSeconds, periodSeconds);
/** Windows that close after `gapSeconds` without an element of their key. */
export const sessions = (gapSeconds: number): BeamWindowFn => beam.sessions(gapSeconds);

export function windowingStrategyProto(pipeline: BeamPipeline, windowing: Windowing): StrategyProto {
  const strategy = createWindowingStrategyProto(pipeline, windowing.windowFn as never);
  strategy.allowedLateness = BigInt(windowing.allowedLatenessMs ?? 0);
  return strategy;
}

/** Allowed lateness of a collection, ms. */
export function allowedLatenessMs(components: ComponentsProto, collectionId: string): number {
  return Number(strategyOf(components, collectionId).allowedLateness);
}

/** The engine's window function for a collection. @throws {@link InvalidPipelineError} for one it does not know */
export function windowFnOf(components: ComponentsProto, collectionId: string): engine.WindowFn {
  const spec = strategyOf(components, collectionId).windowFn;
  if (spec === undefined) return engine.globalWindows;
  switch (spec.urn) {
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
    default:
      throw new InvalidPipelineError(`window function ${spec.urn} of collection ${collectionId} is not known`);
  }
}

function strategyOf(
  components: ComponentsProto,
  collectionId: string,
): ReturnType<typeof runnerApi.WindowingStrategy.create> {
  const id = components.pcollections[collectionId]?.windowingStrategyId ?? '';
  return components.windowingStrategies[id] ?? runnerApi.WindowingStrategy.create();
}

function millisOf(duration: { readonly seconds: bigint; readonly nanos: number } | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}
