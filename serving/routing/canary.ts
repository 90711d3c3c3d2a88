import { z } from 'zod';
import { followSchema } from '../models/follow.ts';
import { shareOf } from './assignment.ts';
import { Guardrails, guardrailsSchema, type Observation } from './guardrails.ts';

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

/** How far a canary has come. */
export const canaryProgressSchema = z.strictObject({
  version: z.int().positive(),
  step: z.int().nonnegative(),
  state: z.enum(['running', 'passed', 'rolled_back']),
  reason: z.string(),
});
export type CanaryProgress = z.infer<typeof canaryProgressSchema>;

/** One version on trial, in this process: each process judges what it has seen, and tells the others what it comes to. */
export class CanaryRun {
  readonly #settings: Canary;
  readonly #salt: string;
  readonly #guardrails: Guardrails;
  #progress: CanaryProgress;
  #rowsOfStep = 0;

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

  seeControl(seen: Observation): void {
    this.#guardrails.seeControl(seen);
  }

  /** @returns where it has come to by this, when that has changed */
  seeCanary(seen: Observation): CanaryProgress | undefined {
    const { state, step, version } = this.#progress;
    if (state === 'rolled_back') return undefined;
    const against = this.#guardrails.seeCanary(seen);
    if (against !== undefined) return this.#go({ version, step, state: 'rolled_back', reason: against });
    this.#rowsOfStep += seen.rows;
    const { steps, rowsAStep } = this.#settings;
    if (state === 'passed' || this.#rowsOfStep < rowsAStep) return undefined;
    const reason = `${this.#rowsOfStep} rows at ${this.percent} %, nothing against it`;
    this.#rowsOfStep = 0;
    const isLast = step >= steps.length - 1;
    return this.#go(isLast ? { version, step, state: 'passed', reason } : { version, step: step + 1, state, reason });
  }

  #go(progress: CanaryProgress): CanaryProgress {
    this.#progress = progress;
    return progress;
  }
}
