import { DeadlinePassedError } from '../errors.ts';
import type { Call } from '../models/call.ts';
import { bestClass } from '../models/interpret.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { ActiveModel } from '../models/model_slot.ts';
import type { ModelRouter } from './model_router.ts';

/** What came out, and of which version: another one than was asked when that one failed. */
export interface Inferred {
  /** FP32 [rows, outputWidth], row-major. */
  readonly output: Float32Array;
  /** FP32 [rows, columns] of what was asked. */
  readonly input: Float32Array;
  readonly by: ActiveModel;
}

/** While a canary runs: what becomes of each request is told to its guardrails, and production answers where the canary cannot. */
export async function inferWatched(
  router: ModelRouter,
  active: ActiveModel,
  input: Float32Array,
  rows: number,
  call?: Call,
): Promise<Inferred> {
  const beganMs = performance.now();
  let failure: unknown;
  try {
    const output = await active.batcher.infer(input, rows, call);
    const scores = scoresOf(active.model, output, rows);
    router.see(active, { rows, latencyMs: performance.now() - beganMs, scores });
    if (active === router.production || scores.every(Number.isFinite)) return { output, input, by: active };
    failure = new Error(`version ${active.version} of ${active.name} gave what is no number`);
  } catch (error) {
    if (error instanceof DeadlinePassedError) throw error;
    router.see(active, { rows, latencyMs: performance.now() - beganMs, scores: undefined });
    failure = error;
  }
  const { production } = router;
  if (production === undefined || production === active || production.model.shape !== active.model.shape) throw failure;
  return { output: await production.batcher.infer(input, rows, call), input, by: production };
}

/** What a row comes to, as one number: a probability, score or value; the place of the class where there are more than two. */
export function scoresOf({ signature, outputWidth }: LoadedModel, output: Float32Array, rows: number): Float64Array {
  const { task } = signature;
  const scores = new Float64Array(rows);
  for (let row = 0; row < rows; row += 1) {
    const at = row * outputWidth;
    const isBest = task === 'multiclass_classification' || task === 'clustering';
    scores[row] = isBest ? bestClass(signature, output, at) : (output[at + outputWidth - 1] as number);
  }
  return scores;
}
