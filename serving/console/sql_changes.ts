import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { Change, ChangeFilter, Page } from './answers.ts';

// Changes to models, routing and runs as one list, in SQL.

const CHANGES = `
  SELECT at, 'model' AS kind, model AS subject, action || ' version ' || version || ' to ' || stage AS what, by_whom, reason FROM model_audit
  UNION ALL
  SELECT at, 'routing', model, 'change ' || revision || ' of routing', by_whom, reason FROM model_routing
  UNION ALL
  SELECT queued_at, 'run', workflow, 'run ' || id || ' started: ' || status, origin->>'by', origin->>'kind' FROM workflow_runs`;

/** Returns a page of the changes that pass, the newest first, and how many pass. */
export async function listChanges(
  sql: SqlExecutor,
  { kind, text, sinceMs, offset, limit }: ChangeFilter,
): Promise<Page<Change>> {
  interface Stored {
    readonly at: string;
    readonly kind: Change['kind'];
    readonly subject: string;
    readonly what: string;
    readonly by_whom: string | null;
    readonly reason: string | null;
    readonly total: number;
  }
  const rows = await sql.query<Stored>(
    `SELECT to_json(at)#>>'{}' AS at, kind, subject, what, by_whom, reason, count(*) OVER ()::integer AS total
     FROM (${CHANGES}) AS changes
     WHERE ($1::text IS NULL OR kind = $1) AND ($2::timestamptz IS NULL OR at >= $2)
       AND ($3::text IS NULL OR strpos(lower(concat_ws(' ', subject, what, by_whom, reason)), lower($3)) > 0)
     ORDER BY changes.at DESC OFFSET $4 LIMIT $5`,
    [kind ?? null, sinceMs === undefined ? null : new Date(sinceMs), text ?? null, offset, limit],
  );
  return {
    total: rows[0]?.total ?? 0,
    items: rows.map(({ subject, by_whom: by, reason, total: _, ...row }) => ({
      ...row,
      ...{ of: subject, by: by ?? '', reason: reason ?? '' },
    })),
  };
}
