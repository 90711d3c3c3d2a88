import { declarationsOf } from './declarations.ts';
import type { ExchangeMode } from './element_codec.ts';
import { InvalidPipelineError } from './errors.ts';
import { inputsOf, outputsOf, type Plan, type PlanTransform } from './plan.ts';

/** A PCollection that crosses from one stage to a later one. */
export interface Exchange {
  readonly id: number;
  readonly from: number;
  readonly to: number;
}

/** A plan cut where elements change threads. Stage 0 holds the sources and runs once; the others run once on each shard. */
export interface Stages {
  readonly plans: readonly Plan[];
  readonly exchanges: readonly Exchange[];
}

/**
 * Cuts a plan for `shards` shards: a transform that needs all elements of a key in one place (state, timers, grouping) begins a
 * stage whose input is exchanged by key, a Reshuffle begins one that is spread evenly; what follows runs where its input is.
 * Side inputs that come from another stage go to every shard.
 *
 * @returns one stage when nothing in the plan can be spread
 * @throws {@link InvalidPipelineError} when a source is fed by a sharded stage: sources run on one thread
 */
export function cutIntoStages(plan: Plan, shards: number): Stages {
  const stageOf = assignStages(plan.transforms);
  const producerStage = new Map<string, number>();
  for (const transform of plan.transforms) {
    for (const id of outputsOf(transform)) {
      producerStage.set(id, Math.max(producerStage.get(id) ?? 0, stageOf.get(transform) as number));
    }
  }
  const exchanges: Exchange[] = [];
  const named = new Map<string, string>();
  const transforms: PlanTransform[][] = Array.from({ length: 1 + Math.max(...stageOf.values()) }, () => []);
  const crossing = (id: string, to: number, mode: ExchangeMode): string => {
    const from = producerStage.get(id) as number;
    if (from === to) return id;
    const output = `${id}@${to}.${mode}`;
    if (named.has(output)) return output;
    const codec = plan.codecs.get(id)?.elements;
    if (codec === undefined) throw new InvalidPipelineError(`PCollection ${id} has no coder to cross threads with`);
    const exchange = exchanges.length;
    const name = `Exchange/${output}`;
    named.set(output, name);
    exchanges.push({ id: exchange, from, to });
    transforms[from]?.push({ kind: 'exchangeOut', name: `${name}/Out`, input: id, exchange, mode, shards, codec });
    transforms[to]?.push({ kind: 'exchangeIn', name: `${name}/In`, output, exchange, codec });
    return output;
  };
  for (const transform of plan.transforms) {
    const stage = stageOf.get(transform) as number;
    const rewired = rewire(transform, (id, mode) => crossing(id, stage, mode));
    transforms[stage]?.push(rewired);
  }
  return { plans: transforms.map((own) => ({ transforms: own, codecs: plan.codecs })), exchanges };
}

function assignStages(transforms: readonly PlanTransform[]): ReadonlyMap<PlanTransform, number> {
  const feedsSource = producersOfSources(transforms);
  const stages = new Map<PlanTransform, number>();
  const stageOfCollection = new Map<string, number>();
  for (const transform of transforms) {
    const sides = transform.kind === 'parDo' ? transform.sideInputs.map(({ input }) => input) : [];
    const mains = inputsOf(transform).filter((id) => !sides.includes(id));
    const main = Math.max(0, ...mains.map((id) => stageOfCollection.get(id) ?? 0));
    const side = Math.max(0, ...sides.map((id) => stageOfCollection.get(id) ?? 0));
    let stage = begins(transform, feedsSource) ? main + 1 : main;
    // A side input must be whole on each shard, so that it comes from an earlier stage.
    if (sides.length > 0 && (side > 0 || stage > 0)) stage = Math.max(stage, side + 1);
    if (transform.kind === 'splittable' && stage > 0) {
      throw new InvalidPipelineError(
        `transform "${transform.name}" is a source that reads what a grouping or state has put out: sources run on one thread, so run this pipeline without threads`,
      );
    }
    stages.set(transform, stage);
    for (const id of outputsOf(transform)) {
      stageOfCollection.set(id, Math.max(stageOfCollection.get(id) ?? 0, stage));
    }
  }
  return stages;
}

/** Whether a transform's input must be exchanged even if it is at hand. */
function begins(transform: PlanTransform, feedsSource: ReadonlySet<PlanTransform>): boolean {
  switch (transform.kind) {
    case 'groupByKey':
    case 'slidingCombine':
      return true;
    case 'passThrough':
      return transform.redistributes && !feedsSource.has(transform);
    case 'parDo':
      return isKeyed(transform);
    default:
      return false;
  }
}

function isKeyed(transform: Extract<PlanTransform, { kind: 'parDo' }>): boolean {
  const { states, timers } = declarationsOf(transform.doFn);
  return states.length + timers.length > 0;
}

/** Transforms that a source is downstream of. */
function producersOfSources(transforms: readonly PlanTransform[]): ReadonlySet<PlanTransform> {
  const wanted = new Set<string>();
  const found = new Set<PlanTransform>();
  for (const transform of [...transforms].reverse()) {
    if (transform.kind !== 'splittable' && !outputsOf(transform).some((id) => wanted.has(id))) continue;
    if (transform.kind !== 'splittable') found.add(transform);
    for (const id of inputsOf(transform)) wanted.add(id);
  }
  return found;
}

function rewire(transform: PlanTransform, place: (id: string, mode: ExchangeMode) => string): PlanTransform {
  switch (transform.kind) {
    case 'flatten':
      return { ...transform, inputs: transform.inputs.map((id) => place(id, 'anywhere')) };
    case 'parDo':
      return {
        ...transform,
        input: place(transform.input, isKeyed(transform) ? 'byKey' : 'anywhere'),
        sideInputs: transform.sideInputs.map((side) => ({ ...side, input: place(side.input, 'everywhere') })),
      };
    case 'groupByKey':
    case 'slidingCombine':
      return { ...transform, input: place(transform.input, 'byKey') };
    case 'passThrough':
    case 'splittable':
    case 'windowInto':
    case 'assignTimestamps':
      return { ...transform, input: place(transform.input, 'anywhere') };
    default:
      return transform;
  }
}
