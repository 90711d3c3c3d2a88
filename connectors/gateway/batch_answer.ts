import type { FieldProblem } from './errors.ts';

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

/**
 * Writes the answer to a batch. From `maxBytes` on, results are cut to index, status and code, so that an answer does not grow with what clients
 * send; `is_cut` tells that it happened.
 */
export function answerBatch(results: readonly BatchResult[], maxBytes: number): BatchAnswer {
  const counts = { accepted: 0, duplicate: 0, rejected: 0, failed: 0 };
  const texts: string[] = [];
  let bytes = 0;
  let isCut = false;
  for (const result of results) {
    counts[result.status] += 1;
    let text = textOf(result);
    const own = Buffer.byteLength(text);
    if (bytes + own > maxBytes) {
      isCut = true;
      const { index, status } = result;
      text = JSON.stringify({ index, status, ...(result.status === 'rejected' ? { code: result.code } : {}) });
    } else bytes += own;
    texts.push(text);
  }
  const { accepted, duplicate: duplicates, rejected, failed } = counts;
  const head = JSON.stringify({ accepted, duplicates, rejected, failed, ...(isCut ? { is_cut: true } : {}) });
  return { text: `${head.slice(0, -1)},"results":[${texts.join(',')}]}`, hasFailed: failed > 0 };
}

function textOf(result: BatchResult): string {
  if (!('event_id' in result)) return JSON.stringify(result);
  // Nearly all of them.
  return `{"index":${result.index},"event_id":${JSON.stringify(result.event_id)},"status":"${result.status}"}`;
}
