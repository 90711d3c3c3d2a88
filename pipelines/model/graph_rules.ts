import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { Trigger } from '#pipelines/engine/windowing/trigger';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { isDeterministic } from './coders/determinism.ts';
import * as urns from './urns.ts';
import { mayFinish, triggerFromProto, triggerText } from './windows/triggers.ts';
import { windowFnOf } from './windows/windowing.ts';

type Components = runnerApi.Components;
type StrategyProto = runnerApi.WindowingStrategy;

/**
 * What Beam Java refuses when a pipeline is constructed (GroupByKey.applicableTo, Flatten.expand, ParDo): graphs that would wait for ever, drop elements or mix windows.
 * Each check names the transform, and says what to do.
 */

/** @throws {@link InvalidPipelineError} for a collection whose groups would never be emitted, or whose trigger would drop elements */
export function checkGrouping(components: Components, transform: string, collectionId: string): void {
  const strategy = strategyOf(components, collectionId);
  const trigger = triggerFromProto(strategy.trigger);
  const isGlobal = urnOf(strategy) === urns.GLOBAL_WINDOWS;
  if (isGlobal && trigger.kind === 'default' && !isBounded(components, collectionId)) {
    throw new InvalidPipelineError(
      `transform "${transform}" groups an unbounded collection in the global window with the default trigger: the window never ends, so that nothing would come out. Apply windowInto with other windows or with a trigger before it`,
    );
  }
  if (!isSafe(trigger, strategy)) {
    throw new InvalidPipelineError(
      `transform "${transform}" has the trigger ${triggerText(trigger)}, which may finish before its window expires: elements after that would be dropped. Wrap it in repeatedly(…)${
        trigger.kind === 'afterEndOfWindow' ? ', give it late firings, or set allowedLatenessMs to 0' : ''
      }`,
    );
  }
}

/** As Beam's GroupByKey.triggerIsSafe: never fires when the window expires, and after its end without lateness nothing comes. */
function isSafe(trigger: Trigger, { allowedLateness }: StrategyProto): boolean {
  if (!mayFinish(trigger) || trigger.kind === 'never') return true;
  return trigger.kind === 'afterEndOfWindow' && allowedLateness === 0n;
}

/** @throws {@link InvalidPipelineError} for keys whose coder may encode equal ones differently */
export function checkKeys(components: Components, transform: string, collectionId: string): void {
  const coder = components.coders[components.pcollections[collectionId]?.coderId ?? ''];
  const keyCoderId = coder?.componentCoderIds[0] ?? '';
  if (isDeterministic(components, keyCoderId)) return;
  throw new InvalidPipelineError(
    `transform "${transform}" needs keys whose coder gives equal keys equal bytes, and ${components.coders[keyCoderId]?.spec?.urn ?? 'its key coder'} does not: key the collection with keyBy, or give it another coder`,
  );
}

/** @throws {@link InvalidPipelineError} for collections in different windows, or under different triggers */
export function checkFlatten(components: Components, transform: string, collectionIds: readonly string[]): void {
  const [first, ...others] = collectionIds.map((id) => strategyOf(components, id));
  if (first === undefined) return;
  for (const other of others) {
    if (!areCompatible(first, other)) {
      throw new InvalidPipelineError(
        `transform "${transform}" flattens collections in different windows (${windowText(first)} and ${windowText(other)}): apply the same windowInto to each before it`,
      );
    }
    const [one, two] = [first, other].map(({ trigger }) => triggerText(triggerFromProto(trigger)));
    if (one !== two) {
      throw new InvalidPipelineError(
        `transform "${transform}" flattens collections with different triggers (${one} and ${two}): apply the same windowInto to each before it`,
      );
    }
  }
}

/** Sessions of any gap go together, as in Beam: they merge by what they overlap. */
function areCompatible(one: StrategyProto, other: StrategyProto): boolean {
  if (urnOf(one) !== urnOf(other) || one.mergeStatus !== other.mergeStatus) return false;
  if (urnOf(one) === urns.SESSION_WINDOWS || urnOf(one) === urns.GLOBAL_WINDOWS) return true;
  return Buffer.compare(one.windowFn?.payload ?? NOTHING, other.windowFn?.payload ?? NOTHING) === 0;
}

/** @throws {@link InvalidPipelineError} for state or timers in windows that merge */
export function checkState(components: Components, transform: string, collectionId: string): void {
  const strategy = strategyOf(components, collectionId);
  if (strategy.mergeStatus !== runnerApi.MergeStatus_Enum.NEEDS_MERGE) return;
  throw new InvalidPipelineError(
    `transform "${transform}" has state or timers in merging windows (${windowText(strategy)}), where its state would have to merge: group first, or use other windows`,
  );
}

/** @throws {@link InvalidPipelineError} for a side input that is never ready, drops elements, or has windows that merge */
export function checkSideInput(components: Components, transform: string, view: string, collectionId: string): void {
  const strategy = strategyOf(components, collectionId);
  if (strategy.mergeStatus === runnerApi.MergeStatus_Enum.NEEDS_MERGE) {
    throw new InvalidPipelineError(
      `side input "${view}" of transform "${transform}" is in merging windows (${windowText(strategy)}), of which none goes with a window of the main input: window it otherwise`,
    );
  }
  checkGrouping(components, `${transform}, side input ${view}`, collectionId);
}

/** @throws {@link InvalidPipelineError} for merging windows whose elements could come out again once they have merged, as Beam's Distinct does */
export function checkDistinct(components: Components, transform: string, collectionId: string): void {
  const strategy = strategyOf(components, collectionId);
  if (strategy.mergeStatus !== runnerApi.MergeStatus_Enum.NEEDS_MERGE) return;
  const trigger = triggerFromProto(strategy.trigger);
  if (trigger.kind === 'default' && strategy.allowedLateness === 0n) return;
  throw new InvalidPipelineError(
    `transform "${transform}" is in merging windows (${windowText(strategy)}) that fire more than once (${triggerText(trigger)}, allowed lateness ${strategy.allowedLateness} ms): an element could come again when its window has merged. Use the default trigger without lateness, or windows that do not merge`,
  );
}

const NOTHING = new Uint8Array();

const strategyOf = ({ pcollections, windowingStrategies }: Components, collectionId: string): StrategyProto =>
  windowingStrategies[pcollections[collectionId]?.windowingStrategyId ?? ''] ?? runnerApi.WindowingStrategy.create();

const urnOf = ({ windowFn }: StrategyProto): string => windowFn?.urn ?? urns.GLOBAL_WINDOWS;

const isBounded = ({ pcollections }: Components, collectionId: string): boolean =>
  pcollections[collectionId]?.isBounded !== runnerApi.IsBounded_Enum.UNBOUNDED;

/** A window function for messages. */
function windowText({ windowFn }: StrategyProto): string {
  const urn = windowFn?.urn ?? urns.GLOBAL_WINDOWS;
  if (urn === urns.WINDOW_FN_BY_NAME) return `custom(${Buffer.from(windowFn?.payload ?? NOTHING).toString()})`;
  return windowFnOf({}, windowFn).name;
}
