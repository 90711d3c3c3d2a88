import { stableHash32 } from '#kernel/hashes/hash';
import { type RowValues, scoreWidth } from '#registry/packages/model_package';
import { reencoded } from '#registry/packages/signature_encoder';
import { DeadlinePassedError } from '../errors.ts';
import type { Call } from '../models/call.ts';
import { bestClass } from '../models/interpret.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { ActiveModel } from '../models/model_slot.ts';
import type { Entities } from './canary.ts';
import type { ModelRouter } from './model_router.ts';

/** What came out, and of which version: another one than was asked when that one failed. */
export interface Inferred {
  /** [rows, outputWidth], row-major. */
  readonly output: RowValues;
  /** [rows, columns] of what was asked, as `by` encodes them. */
  readonly input: RowValues;
  readonly by: ActiveModel;
}

/**
 * While a canary runs: the outcome of each request goes to its guardrails, and production answers where the canary cannot.
 *
 * @param entities - whom the rows are about, where the request names them
 */
export async function inferWatched(
  router: ModelRouter,
  active: ActiveModel,
  input: RowValues,
  rows: number,
  { call, entities }: { readonly call?: Call | undefined; readonly entities?: Entities | undefined } = {},
): Promise<Inferred> {
  const beganMs = performance.now();
  let scores: Float64Array | undefined;
  let failure: unknown;
  try {
    const output = await active.batcher.infer(input, rows, call);
    scores = scoresOf(active.model, output, rows);
    if (active === router.production || scores.every(Number.isFinite)) {
      router.see(active, { rows, latencyMs: performance.now() - beganMs, scores, failed: 0 }, entities);
      return { output, input, by: active };
    }
    failure = new Error(`version ${active.version} of ${active.name} gave what is no number`);
  } catch (error) {
    if (error instanceof DeadlinePassedError) throw error;
    failure = error;
  }
  const latencyMs = performance.now() - beganMs;
  const { production } = router;
  if (production === undefined || production === active || production.model.shape !== active.model.shape) {
    router.see(active, { rows, latencyMs, scores: undefined, failed: rows }, entities);
    throw failure;
  }
  const own = reencoded(active.model.encoder, production.model.encoder, input);
  const output = await production.batcher.infer(own, rows, call);
  router.see(
    active,
    { rows, latencyMs, scores, failed: failedRows(scores, scoresOf(production.model, output, rows)) },
    entities,
  );
  return { output, input: own, by: production };
}

/** Rows that have a score of production and none of the canary. */
function failedRows(canary: Float64Array | undefined, production: Float64Array): number {
  return production.filter((score, row) => Number.isFinite(score) && !Number.isFinite(canary?.[row])).length;
}

/**
 * Returns what a row comes to, as one number: a probability, score or value; the place of the class where there are more than two; a label where the
 * graph gives nothing else.
 */
export function scoresOf(
  { signature, labels, outputWidth }: LoadedModel,
  output: RowValues,
  rows: number,
): Float64Array {
  const { task } = signature;
  const scores = new Float64Array(rows);
  const last = Math.max(1, scoreWidth(signature)) - 1;
  const isBest = task === 'multiclass_classification' || task === 'clustering';
  for (let row = 0; row < rows; row += 1) {
    const at = row * outputWidth;
    if (isBest) scores[row] = bestClass(signature, output, at);
    else if (labels !== undefined && scoreWidth(signature) === 0) {
      // The same number in every version.
      scores[row] = stableHash32(labels.textOf(output[at] as number));
    } else scores[row] = output[at + last] as number;
  }
  return scores;
}
