import { setTimeout as sleep } from 'node:timers/promises';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { parDo } from '#pipelines/model/transforms';

/** How many elements pass in a second. */
export interface RateLimitSettings {
  /** Elements a second, in the long run; fractions are allowed. */
  readonly perSecond: number;
  /** Elements that may pass at once after a pause. Default 1. */
  readonly burst?: number;
  readonly name?: string;
}

/**
 * Delays elements so that no more than `perSecond` pass, in their order; what comes before is held up meanwhile. The limit is each worker's own: with the embedded runner the job's, before keys are spread over threads.
 *
 * @throws InvalidPipelineError for a rate or burst that is no positive number
 */
export function rateLimit<T>({
  perSecond,
  burst = 1,
  name = 'RateLimit',
}: RateLimitSettings): PTransform<PCollection<T>, PCollection<T>> {
  if (!(perSecond > 0 && Number.isFinite(perSecond))) {
    throw new InvalidPipelineError(`transform "${name}": perSecond is ${perSecond}: give a number greater than 0`);
  }
  if (!(Number.isSafeInteger(burst) && burst >= 1)) {
    throw new InvalidPipelineError(`transform "${name}": burst is ${burst}: give an integer from 1 on`);
  }
  return parDo<T, T>(new RateLimitFn(1_000 / perSecond, burst), { name, maxConcurrency: 1 });
}

/** Source: the generic cell rate algorithm (ITU-T I.371, annex A), as virtual scheduling. */
export class RateLimitFn<T> implements DoFn<T, T> {
  readonly #intervalMs: number;
  readonly #burstMs: number;
  readonly #wait: (delayMs: number) => Promise<unknown>;
  /** When the next element would come at the exact rate. */
  #expectedAt = Number.NEGATIVE_INFINITY;

  constructor(intervalMs: number, burst: number, wait: (delayMs: number) => Promise<unknown> = sleep) {
    this.#intervalMs = intervalMs;
    this.#burstMs = (burst - 1) * intervalMs;
    this.#wait = wait;
  }

  process(element: T, context: ProcessContext<T>): void | Promise<void> {
    const now = context.clock.now();
    const expectedAt = Math.max(this.#expectedAt, now);
    this.#expectedAt = expectedAt + this.#intervalMs;
    const delayMs = expectedAt - this.#burstMs - now;
    if (delayMs <= 0) return context.output(element);
    return this.#wait(delayMs).then(() => context.output(element));
  }
}
