import { Random } from '#kernel/random';
import { CanaryRun, canarySchema } from '#serving/routing/canary';

export interface Lives {
  readonly lives: number;
  readonly entities: number;
  /** The population stability index of the canary's scores against production's; 0: they are one model. */
  readonly shift: number;
  /** Of the guardrail. */
  readonly scoreShift: number;
  readonly rowsAStep: number;
  /** How many times as long the canary takes. */
  readonly slower?: number;
}

const ZIPF = 1.1;
/** Of a request's score, beside what is the entity's own. */
const NOISE = 0.1;
/** Requests of a life at most: a canary whose share no request belongs to ends with them. */
const MOST_REQUESTS_A_ROW = 60;

/**
 * Simulates lives of canaries: entities whose traffic is skewed as Zipf's law, whose scores are their own, and latencies with stalls that hit neighbours.
 *
 * @returns how many were rolled back, and the requests that had been answered then
 */
export function simulateCanaries(of: Lives): { readonly rolledBack: number; readonly requests: readonly number[] } {
  const { lives, rowsAStep, scoreShift } = of;
  const settings = canarySchema.parse({ rowsAStep, guardrails: { scoreShift } });
  let rolledBack = 0;
  const requests: number[] = [];
  for (let life = 0; life < lives; life += 1) {
    const random = new Random(life * 7_919 + of.entities);
    const progress = { version: life + 1, step: 0, state: 'running', reason: '' } as const;
    const run = new CanaryRun('simulated', settings, progress);
    const answered = liveOne(run, random, of);
    if (run.progress.state !== 'rolled_back') continue;
    rolledBack += 1;
    requests.push(answered);
  }
  return { rolledBack, requests };
}

function liveOne(run: CanaryRun, random: Random, { entities, shift, rowsAStep, slower = 1 }: Lives): number {
  const own = Float64Array.from({ length: entities }, () => random.normal());
  const bounds = zipfBounds(entities);
  // Of two normal distributions, the index is the square of what lies between their means.
  const moved = Math.sqrt(shift);
  let stalled = 0;
  for (let request = 1; request <= rowsAStep * MOST_REQUESTS_A_ROW; request += 1) {
    const entity = pick(bounds, random.next());
    const name = `user-${entity}`;
    const isCanary = run.takes(name);
    stalled = stalled > 0 ? stalled - 1 : random.next() < 0.002 ? 20 : 0;
    const latencyMs = (1 + random.next()) * (isCanary ? slower : 1) + (stalled > 0 ? 50 : 0);
    const score = (own[entity] as number) + NOISE * random.normal() + (isCanary ? moved : 0);
    const seen = { rows: 1, latencyMs, scores: [score], failed: 0 };
    if (isCanary) run.seeCanary(seen, [name]);
    else run.seeControl(seen, [name]);
    if (run.progress.state !== 'running') return request;
  }
  return rowsAStep * MOST_REQUESTS_A_ROW;
}

/** Where each entity's share of the traffic ends. */
function zipfBounds(entities: number): Float64Array {
  const bounds = new Float64Array(entities);
  let total = 0;
  for (let rank = 0; rank < entities; rank += 1) {
    total += 1 / (rank + 1) ** ZIPF;
    bounds[rank] = total;
  }
  return bounds.map((bound) => bound / total);
}

function pick(bounds: Float64Array, at: number): number {
  let [low, high] = [0, bounds.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bounds[middle] as number) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
