import type { FieldProblem } from '#kernel/field_problems';

export type Outcome = 'accepted' | 'duplicate';

/** What became of one event of a batch. */
export type BatchResult =
  | { readonly index: number; readonly event_id: string; readonly status: Outcome }
  | {
      readonly index: number;
      readonly status: 'rejected';
      /** As in docs/errors.md. */
      readonly code: string;
      /** What POST /ingest would have answered. */
      readonly http_status: number;
      readonly reason: string;
      readonly fields?: readonly FieldProblem[];
    }
  | { readonly index: number; readonly status: 'failed'; readonly reason: string };

export interface BatchAnswer {
  /** JSON. */
  readonly text: string;
  /** Some events may be sent again. */
  readonly hasFailed: boolean;
}

/** What a result takes beside its id, at most. */
const TAKEN_BYTES = 80;
/** JSON writes a UTF-16 unit as \uXXXX at most. */
const ESCAPED_UNIT_BYTES = 6;

/**
 * Writes the answer to a batch. From `maxBytes` on, results are cut to index, status and code, so that an answer does not grow with what clients
 * send; `is_cut` tells that it happened.
 */
export function answerBatch(results: readonly BatchResult[], maxBytes: number): BatchAnswer {
  const counts = { accepted: 0, duplicate: 0, rejected: 0, failed: 0 };
  let mostBytes = 0;
  for (const result of results) {
    counts[result.status] += 1;
    mostBytes += 'event_id' in result ? TAKEN_BYTES + ESCAPED_UNIT_BYTES * result.event_id.length : Number.NaN;
  }
  const { accepted, duplicate: duplicates, rejected, failed } = counts;
  const totals = { accepted, duplicates, rejected, failed };
  const hasFailed = failed > 0;
  // Nearly all batches: nothing refused, and short.
  if (mostBytes <= maxBytes) return { text: JSON.stringify({ ...totals, results }), hasFailed };
  const written: string[] = [];
  let bytes = 0;
  let isCut = false;
  for (const result of results) {
    let text = JSON.stringify(result);
    const own = Buffer.byteLength(text);
    if (bytes + own > maxBytes) {
      isCut = true;
      const { index, status } = result;
      text = JSON.stringify({ index, status, ...(result.status === 'rejected' ? { code: result.code } : {}) });
    } else bytes += own;
    written.push(text);
  }
  const head = JSON.stringify({ ...totals, ...(isCut ? { is_cut: true } : {}) });
  return { text: `${head.slice(0, -1)},"results":[${written.join(',')}]}`, hasFailed };
}
