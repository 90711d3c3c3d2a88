import { Random } from '#kernel/random';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '#kernel/time';
import { CANDIDATES } from './definitions.ts';

/** Older events are refused. */
export const ALLOWED_LATENESS_MS = 12 * HOUR_MS;

export interface EventSpec {
  readonly account: string;
  /** How long before now it happened. */
  readonly ageMs: number;
  readonly amount: number;
  readonly merchant: string;
  /** It is an event of before once more: its place, counted back from the newest. */
  readonly repeats?: number;
  /** What is repeated has other content. */
  readonly conflicts?: boolean;
}

/** One thing that happens. */
export type Step =
  | { readonly kind: 'events'; readonly events: readonly EventSpec[] }
  /** The clock and the watermark move on. */
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'snapshot' }
  /** The job ends after a snapshot and starts again, with other features perhaps. */
  | { readonly kind: 'restart'; readonly features?: readonly string[] }
  /** The job starts again from its newest snapshot. */
  | { readonly kind: 'kill'; readonly features?: readonly string[] }
  /**
   * The view is computed from all events again, and the stream takes the state over. `kills`: that job is killed after so many events; `only`: the state of these features
   * alone is taken over.
   */
  | { readonly kind: 'handOver'; readonly kills?: number; readonly only?: readonly string[] };

export interface Sequence {
  readonly features: readonly string[];
  readonly steps: readonly Step[];
}

/** Returns the sequence of a seed: always the same. */
export function randomSequence(seed: number): Sequence {
  const random = new Random(seed);
  let features = randomFeatures(random, undefined);
  const first = features;
  const steps: Step[] = [];
  for (let left = random.integer(3, 14); left > 0; left -= 1) {
    const step = randomStep(random, features);
    if ('features' in step && step.features !== undefined) features = step.features;
    steps.push(step);
  }
  return { features: first, steps };
}

function randomFeatures(random: Random, before: readonly string[] | undefined): readonly string[] {
  const pick = (): string => random.pick(CANDIDATES).id;
  if (before === undefined) return Array.from({ length: random.integer(1, 9) }, pick);
  const features = [...before];
  for (let changes = random.integer(1, 4); changes > 0; changes -= 1) {
    const at = random.integer(0, features.length + 1);
    // Added anywhere, taken out, exchanged, or moved.
    const kind = random.integer(0, 4);
    if (kind === 0) features.splice(at, 0, pick());
    else if (kind === 1 && features.length > 1) features.splice(at, 1);
    else if (kind === 2) features.splice(at, 1, pick());
    else features.reverse();
  }
  return features.length > 0 ? features : [pick()];
}

function randomStep(random: Random, features: readonly string[]): Step {
  const change = (): { features?: readonly string[] } =>
    random.chance(0.7) ? { features: randomFeatures(random, features) } : {};
  switch (random.weighted([8, 4, 2, 3, 3, 2])) {
    case 0:
      return { kind: 'events', events: Array.from({ length: random.integer(1, 12) }, () => randomEvent(random)) };
    case 1:
      return { kind: 'time', ms: randomSpan(random, 3 * DAY_MS) };
    case 2:
      return { kind: 'snapshot' };
    case 3:
      return { kind: 'restart', ...change() };
    case 4:
      return { kind: 'kill', ...change() };
    default:
      return {
        kind: 'handOver',
        ...(random.chance(0.3) ? { kills: random.integer(0, 20) } : {}),
        ...(random.chance(0.5) ? { only: features.filter(() => random.chance(0.4)) } : {}),
      };
  }
}

/** Many are short, some land on the edges of tiles and windows. */
function randomSpan(random: Random, most: number): number {
  const kind = random.integer(0, 4);
  if (kind === 0) return random.integer(1, 30 * SECOND_MS);
  if (kind === 1) return random.integer(1, 90 * MINUTE_MS);
  if (kind === 2)
    return random.pick([MINUTE_MS, 15 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, DAY_MS]) + random.integer(-1, 2);
  return random.integer(1, most);
}

function randomEvent(random: Random): EventSpec {
  const age = random.weighted([6, 3, 1]);
  const ageMs =
    age === 0
      ? random.integer(0, 2 * SECOND_MS)
      : age === 1
        ? randomSpan(random, ALLOWED_LATENESS_MS)
        : randomSpan(random, 2 * DAY_MS);
  const repeats = random.chance(0.12) ? random.integer(0, 40) : undefined;
  return {
    ...{ account: random.pick(['a', 'b', 'c|d']), ageMs, amount: random.integer(1, 101) },
    merchant: random.pick(['m1', 'm2', 'm3']),
    ...(repeats === undefined ? {} : { repeats, ...(random.chance(0.2) ? { conflicts: true } : {}) }),
  };
}

/** Returns the shortest sequence found that still fails: steps, events and features are left out one by one. */
export async function shrink(sequence: Sequence, fails: (one: Sequence) => Promise<boolean>): Promise<Sequence> {
  let smallest = sequence;
  for (let progress = true; progress; ) {
    progress = false;
    for (const candidate of smallerThan(smallest)) {
      if (!(await fails(candidate))) continue;
      smallest = candidate;
      progress = true;
      break;
    }
  }
  return smallest;
}

function* smallerThan({ features, steps }: Sequence): Generator<Sequence> {
  const without = <T>(list: readonly T[], at: number): T[] => list.filter((_, index) => index !== at);
  for (let at = steps.length - 1; at >= 0; at -= 1) yield { features, steps: without(steps, at) };
  const replaced = (at: number, step: Step): Sequence => ({
    features,
    steps: steps.map((one, index) => (index === at ? step : one)),
  });
  for (const [at, step] of steps.entries()) {
    if (step.kind === 'events') {
      for (let one = 0; one < step.events.length; one += 1) {
        if (step.events.length > 1) yield replaced(at, { ...step, events: without(step.events, one) });
      }
    }
    if ('features' in step && step.features !== undefined) {
      for (let one = 0; one < step.features.length; one += 1) {
        yield replaced(at, { ...step, features: without(step.features, one) });
      }
    }
    if (step.kind === 'handOver') {
      const { kills, only, ...rest } = step;
      if (kills !== undefined) yield replaced(at, { ...rest, ...(only === undefined ? {} : { only }) });
      for (let one = 0; one < (only?.length ?? 0); one += 1) {
        yield replaced(at, { ...step, only: without(only as readonly string[], one) });
      }
    }
  }
  for (let at = 0; at < features.length; at += 1) yield { features: without(features, at), steps };
}
