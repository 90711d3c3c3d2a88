import { z } from 'zod';
import { populationStability } from '#monitoring/drift/population_stability';

export const guardrailsSchema = z.strictObject({
  /** Rows of the canary that are looked at before its latency and scores are judged, and in which its failures are counted. */
  judgeAfterRows: z.int().min(50).default(200),
  /** Of its rows that may fail. */
  errorShare: z.number().min(0).max(1).default(0.01),
  /** Its 95th percentile over that of production, where it is slower by 5 ms as well. */
  latencyRatio: z.number().min(1).default(3),
  /** The population stability index of its scores against those of production: 0.25 is commonly taken as another population. */
  scoreShift: z.number().positive().default(0.25),
});
export type GuardrailSettings = z.infer<typeof guardrailsSchema>;

/** What became of rows that a version was to score. */
export interface Observation {
  readonly rows: number;
  readonly latencyMs: number;
  /** One a row; undefined when it failed. */
  readonly scores: ArrayLike<number> | undefined;
}

/** Enough for a percentile and for the shape of scores. */
const KEPT = 1_000;
/** Below that, a difference is noise of the machine. */
const LATENCY_MATTERS_MS = 5;

/** The last values that were seen. */
class Recent {
  readonly #values = new Float64Array(KEPT);
  #count = 0;

  add(value: number): void {
    this.#values[this.#count % KEPT] = value;
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }

  values(): Float64Array {
    return this.#values.subarray(0, Math.min(this.#count, KEPT));
  }

  percentile(share: number): number {
    const sorted = this.values().slice().sort();
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  }
}

/** Watches a version on trial beside the one in production, and says what speaks against it. */
export class Guardrails {
  readonly #settings: GuardrailSettings;
  readonly #control = { scores: new Recent(), latencies: new Recent() };
  readonly #canary = { scores: new Recent(), latencies: new Recent() };
  #rows = 0;
  #failed = 0;
  #judgedAt = 0;

  constructor(settings: GuardrailSettings) {
    this.#settings = settings;
  }

  seeControl({ latencyMs, scores }: Observation): void {
    this.#control.latencies.add(latencyMs);
    if (scores !== undefined)
      for (let row = 0; row < scores.length; row += 1) this.#control.scores.add(scores[row] as number);
  }

  /** @returns why it must go; undefined: nothing speaks against it so far */
  seeCanary({ rows, latencyMs, scores }: Observation): string | undefined {
    const { judgeAfterRows, errorShare } = this.#settings;
    this.#rows += rows;
    if (scores === undefined) this.#failed += rows;
    else {
      this.#canary.latencies.add(latencyMs);
      for (let row = 0; row < scores.length; row += 1) {
        const score = scores[row] as number;
        if (Number.isFinite(score)) this.#canary.scores.add(score);
        else this.#failed += 1;
      }
    }
    // More than the rows to judge by could make good.
    if (this.#failed > errorShare * Math.max(judgeAfterRows, this.#rows)) {
      return `${this.#failed} of ${this.#rows} rows failed; ${percent(errorShare)} may`;
    }
    if (this.#rows - this.#judgedAt < judgeAfterRows) return undefined;
    this.#judgedAt = this.#rows;
    return this.#slower() ?? this.#shifted();
  }

  #slower(): string | undefined {
    const { latencyRatio, judgeAfterRows } = this.#settings;
    const usual = this.#control.latencies;
    if (usual.count < Math.min(judgeAfterRows, 50)) return undefined;
    const [own, other] = [this.#canary.latencies.percentile(0.95), usual.percentile(0.95)];
    if (own <= other * latencyRatio || own - other < LATENCY_MATTERS_MS) return undefined;
    return `its p95 is ${own.toFixed(1)} ms, production's ${other.toFixed(1)}; ${latencyRatio} times as much may be`;
  }

  #shifted(): string | undefined {
    const { scoreShift, judgeAfterRows } = this.#settings;
    const [own, usual] = [this.#canary.scores, this.#control.scores];
    if (own.count < judgeAfterRows || usual.count < judgeAfterRows) return undefined;
    const shift = populationStability(usual.values(), own.values());
    if (shift <= scoreShift) return undefined;
    return `its scores differ from production's by ${shift.toFixed(2)} (population stability index); ${scoreShift} may be`;
  }
}

const percent = (share: number): string => `${Math.round(share * 1_000) / 10} %`;
