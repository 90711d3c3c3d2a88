import { z } from 'zod';
import { EventEvidence, LabelEvidence } from './label_evidence.ts';
import { LastValues } from './last_values.ts';

export const guardrailsSchema = z.strictObject({
  /** Rows of the canary in which its failures are counted at least. */
  judgeAfterRows: z.int().min(50).default(200),
  /** Of its rows that may fail where production answers them. */
  errorShare: z.number().min(0).max(1).default(0.01),
  /** Its 95th percentile over that of production, where it is slower by 5 ms as well. */
  latencyRatio: z.number().min(1).default(3),
  /** The population stability index of its scores against those of production, one of each entity: 0.25 is commonly taken as another population. */
  scoreShift: z.number().positive().default(0.25),
});
export type GuardrailSettings = z.infer<typeof guardrailsSchema>;

/** What became of rows that a version was to score. */
export interface Observation {
  readonly rows: number;
  readonly latencyMs: number;
  /** One a row; undefined when there are none. */
  readonly scores: ArrayLike<number> | undefined;
  /** Rows of the canary that failed where production answered. */
  readonly failed: number;
}

/** A row that is compared: one of its entity, or of its request where that names none. */
export interface Unit {
  readonly row: number;
  /** With which probability it was assigned to the canary. */
  readonly share: number;
}

/** False alarms over the life of a canary, of scores and of latency: 1 % together. */
const FALSE_ALARMS = 0.005;
const ENOUGH = Math.log(1 / FALSE_ALARMS);
/** Latencies of production that there must be for a percentile. */
const FEWEST = 50;
/** Below that, a difference is noise of the machine. */
const LATENCY_MATTERS_MS = 5;
/** The shift and the percentiles are looked at again once there is so much more to look at. */
const LOOK_AGAIN = 1.05;

/**
 * Watches a version on trial beside the one in production, and says what speaks against it. Versions that are alike are taken for different ones in one life
 * of a hundred at most, however often it is looked at and however few entities send most of the requests; rows that fail count where production answers them.
 */
export class Guardrails {
  readonly #settings: GuardrailSettings;
  readonly #scores = new LabelEvidence();
  readonly #slow = new EventEvidence();
  readonly #control = new LastValues();
  readonly #canary = new LastValues();
  /** Above it a request is slow, ms; known once there are enough of production's. */
  #limitMs = Number.POSITIVE_INFINITY;
  #limitFrom = 0;
  #rows = 0;
  #failed = 0;
  #shiftFrom = 0;
  #slowFrom = 0;

  constructor(settings: GuardrailSettings) {
    this.#settings = settings;
  }

  /** @returns why the canary must go; undefined: nothing speaks against it so far */
  see({ rows, latencyMs, scores, failed }: Observation, isCanary: boolean, units: readonly Unit[]): string | undefined {
    for (const { row, share } of units) {
      const score = scores?.[row];
      if (score !== undefined) this.#scores.see(score, isCanary, share);
    }
    const [unit] = units;
    if (unit !== undefined && latencyMs > this.#limitMs) this.#slow.see(isCanary, unit.share);
    (isCanary ? this.#canary : this.#control).add(latencyMs);
    if (!isCanary) {
      this.#setLimit();
      return undefined;
    }
    this.#rows += rows;
    this.#failed += failed;
    return this.#failing() ?? this.#shifted() ?? this.#slower();
  }

  #setLimit(): void {
    const { count } = this.#control;
    if (count < FEWEST || count < this.#limitFrom) return;
    this.#limitFrom = count * LOOK_AGAIN;
    const usualMs = p95(this.#control);
    this.#limitMs = Math.max(usualMs * this.#settings.latencyRatio, usualMs + LATENCY_MATTERS_MS);
  }

  /** More than the rows to judge by could make good. */
  #failing(): string | undefined {
    const { judgeAfterRows, errorShare } = this.#settings;
    if (this.#failed <= errorShare * Math.max(judgeAfterRows, this.#rows)) return undefined;
    return `${this.#failed} of ${this.#rows} rows failed; ${percent(errorShare)} may`;
  }

  #shifted(): string | undefined {
    const { scoreShift } = this.#settings;
    if (this.#scores.units < this.#shiftFrom || this.#scores.log < ENOUGH) return undefined;
    this.#shiftFrom = this.#scores.units * LOOK_AGAIN;
    const shift = this.#scores.shift();
    if (shift <= scoreShift) return undefined;
    return `its scores differ from production's by ${shift.toFixed(2)} (population stability index); ${scoreShift} may be`;
  }

  #slower(): string | undefined {
    if (this.#canary.count < this.#slowFrom || this.#slow.log < ENOUGH) return undefined;
    this.#slowFrom = this.#canary.count * LOOK_AGAIN;
    const [own, other] = [p95(this.#canary), p95(this.#control)];
    if (own <= this.#limitMs) return undefined;
    return `its p95 is ${own.toFixed(1)} ms, production's ${other.toFixed(1)}; ${this.#settings.latencyRatio} times as much may be`;
  }
}

const percent = (share: number): string => `${Math.round(share * 1_000) / 10} %`;

function p95(latencies: LastValues): number {
  const sorted = latencies.values().slice().sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(0.95 * sorted.length))] ?? 0;
}
