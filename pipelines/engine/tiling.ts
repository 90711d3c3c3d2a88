import { type DoFn, IGNORES_WINDOW } from './dofn.ts';
import { inputsOf, outputsOf, type PlanTransform } from './plan.ts';
import { fixedWindows } from './windowing/window.ts';

/** Fewer windows than this an element are not worth tiles. */
const FEWEST_WINDOWS = 4;

type Transform<Kind extends PlanTransform['kind']> = Extract<PlanTransform, { readonly kind: Kind }>;

/**
 * Replaces WindowInto(sliding) … Combine by tiles, where nothing can tell the difference: between the two are only functions that do not
 * see windows, no other transform reads what is between, the trigger is the default one and no lateness is allowed.
 */
export function tileSlidingCombines(transforms: readonly PlanTransform[]): readonly PlanTransform[] {
  const replaced = new Map<PlanTransform, PlanTransform>();
  for (const transform of transforms) {
    if (transform.kind !== 'groupByKey' || transform.combineFn === undefined) continue;
    const { windowFn, trigger, allowedLatenessMs, timestampCombiner } = transform.windowing;
    const { sliding } = windowFn;
    if (sliding === undefined || sliding.sizeMs % sliding.periodMs !== 0) continue;
    if (sliding.sizeMs / sliding.periodMs < FEWEST_WINDOWS) continue;
    if (trigger.kind !== 'default' || allowedLatenessMs > 0 || timestampCombiner !== 'endOfWindow') continue;
    const windowInto = windowIntoOf(transform, transforms);
    if (windowInto === undefined || windowInto.windowFn.name !== windowFn.name) continue;
    const { name, input, output, combineFn } = transform;
    const { sizeMs, periodMs, offsetMs } = sliding;
    replaced.set(transform, { kind: 'slidingCombine', name, input, output, combineFn, sizeMs, periodMs });
    replaced.set(windowInto, { ...windowInto, windowFn: fixedWindows(periodMs, offsetMs) });
  }
  return transforms.map((transform) => replaced.get(transform) ?? transform);
}

function windowIntoOf(
  combine: Transform<'groupByKey'>,
  transforms: readonly PlanTransform[],
): Transform<'windowInto'> | undefined {
  let collection = combine.input;
  for (;;) {
    if (readersOf(collection, transforms) !== 1) return undefined;
    const producer = transforms.find((other) => outputsOf(other).includes(collection));
    if (producer?.kind === 'windowInto') return producer;
    if (producer?.kind !== 'parDo' || !ignoresWindow(producer.doFn)) return undefined;
    collection = producer.input;
  }
}

const ignoresWindow = (doFn: DoFn<never, unknown>): boolean => IGNORES_WINDOW in doFn;

function readersOf(collection: string, transforms: readonly PlanTransform[]): number {
  return transforms.filter((other) => inputsOf(other).includes(collection)).length;
}
