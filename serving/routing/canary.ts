import { z } from 'zod';
import { stableHash32 } from '#kernel/hashes/hash';
import { followSchema } from '../models/follow.ts';
import { shareOf } from './assignment.ts';
import { Guardrails, guardrailsSchema, type Observation, type Unit } from './guardrails.ts';

/** A version is tried on a growing share of the entities, and taken back by itself when something speaks against it. */
export const canarySchema = z
  .strictObject({
    follow: followSchema.default({ stage: 'Staging' }),
    /** Percent of the entities, one step after the other. */
    steps: z.array(z.number().positive().max(100)).min(1).default([5, 25, 50, 100]),
    /** Rows that it must answer well before the next step. */
    rowsAStep: z.int().positive().default(2_000),
    guardrails: guardrailsSchema.prefault({}),
    /** After the last step: stay there, or be promoted to production through the gates. */
    whenPassed: z.enum(['hold', 'promote']).default('hold'),
  })
  .refine(({ steps }) => steps.every((step, index) => index === 0 || step > (steps[index - 1] as number)), {
    message: 'each step must be larger than the one before',
    path: ['steps'],
  });
export type Canary = z.infer<typeof canarySchema>;

/** Whom rows are about, row by row. */
export type Entities = readonly string[];

/** How far a canary has come. */
export const canaryProgressSchema = z.strictObject({
  version: z.int().positive(),
  step: z.int().nonnegative(),
  state: z.enum(['running', 'passed', 'rolled_back']),
  reason: z.string(),
});
export type CanaryProgress = z.infer<typeof canaryProgressSchema>;

/** Entities that are known to have been seen; of others, requests are answered and not compared. */
const MOST_ENTITIES = 500_000;

/** One version on trial, in this process: each process judges what it has seen, and tells the others what it comes to. */
export class CanaryRun {
  readonly #settings: Canary;
  readonly #salt: string;
  readonly #guardrails: Guardrails;
  #progress: CanaryProgress;
  #rowsOfStep = 0;
  /** By the hash of an entity: the percentage at which it was compared last; negative where the canary answered it. */
  readonly #compared = new Map<number, number>();

  constructor(model: string, settings: Canary, progress: CanaryProgress) {
    this.#settings = settings;
    this.#salt = `canary:${model}:${progress.version}`;
    this.#guardrails = new Guardrails(settings.guardrails);
    this.#progress = progress;
  }

  get progress(): CanaryProgress {
    return this.#progress;
  }

  /** What another process has come to. */
  follow(progress: CanaryProgress): void {
    if (progress.step !== this.#progress.step) this.#rowsOfStep = 0;
    this.#progress = progress;
  }

  /** Percent of the entities. */
  get percent(): number {
    const { state, step } = this.#progress;
    return state === 'rolled_back'
      ? 0
      : (this.#settings.steps[Math.min(step, this.#settings.steps.length - 1)] as number);
  }

  /** An entity that was assigned to it at one step is at every later one. */
  takes(entity: string | undefined): boolean {
    return shareOf(this.#salt, entity) * 100 < this.percent;
  }

  seeControl(seen: Observation, entities?: Entities): void {
    if (this.#progress.state !== 'rolled_back') this.#guardrails.see(seen, false, this.#unitsOf(seen, false, entities));
  }

  /** @returns where it has come to by this, when that has changed */
  seeCanary(seen: Observation, entities?: Entities): CanaryProgress | undefined {
    const { state, step, version } = this.#progress;
    if (state === 'rolled_back') return undefined;
    const against = this.#guardrails.see(seen, true, this.#unitsOf(seen, true, entities));
    if (against !== undefined) return this.#go({ version, step, state: 'rolled_back', reason: against });
    this.#rowsOfStep += seen.rows;
    const { steps, rowsAStep } = this.#settings;
    if (state === 'passed' || this.#rowsOfStep < rowsAStep) return undefined;
    const reason = `${this.#rowsOfStep} rows at ${this.percent} %, nothing against it`;
    this.#rowsOfStep = 0;
    const isLast = step >= steps.length - 1;
    return this.#go(isLast ? { version, step, state: 'passed', reason } : { version, step: step + 1, state, reason });
  }

  /** Rows of entities that were not compared at this step yet: those of one entity hang together. Without entities, a request is one. */
  #unitsOf({ rows }: Observation, isCanary: boolean, entities: Entities | undefined): readonly Unit[] {
    const { percent } = this;
    if (percent >= 100) return [];
    if (entities === undefined) return [{ row: 0, share: percent / 100 }];
    const units: Unit[] = [];
    for (let row = 0; row < rows; row += 1) {
      const share = this.#shareOf(entities[row] as string, percent, isCanary);
      if (share !== undefined) units.push({ row, share });
    }
    return units;
  }

  /**
   * With which probability the canary has an entity that comes at a step for the first time, after what its answers before have shown of where it lies; undefined
   * where that is certain, and where it has come before.
   */
  #shareOf(entity: string, percent: number, isCanary: boolean): number | undefined {
    const key = stableHash32(`${this.#salt}:${entity}`);
    const before = this.#compared.get(key) ?? 0;
    if (before < 0 || before >= percent) return undefined;
    if (before === 0 && this.#compared.size >= MOST_ENTITIES) return undefined;
    this.#compared.set(key, isCanary ? -percent : percent);
    return (percent - before) / (100 - before);
  }

  #go(progress: CanaryProgress): CanaryProgress {
    this.#progress = progress;
    return progress;
  }
}
