import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type { Moment, PointInTimeQuery } from './offline_store.ts';

// The point-in-time join, in SQL.

const MOMENTS_A_STATEMENT = 5_000;
/** While the answer of one statement is read, the server works on others. */
const STATEMENTS_AT_ONCE = 3;

/** The newest row that counts for a moment: one index lookup. */
const newestIn = (table: 'feature_rows' | 'feature_row_revisions'): string =>
  `SELECT r."values", r.event_time, r.computed_at
   FROM ${table} r
   WHERE r.view = $3 AND r.version = $4 AND r.entity_key = m.entity_key
     AND r.event_time <= m.event_time
     AND ($5::double precision IS NULL OR r.event_time >= m.event_time - $5::double precision * interval '1 millisecond')
     AND ($6::timestamptz IS NULL OR r.computed_at <= $6::timestamptz)
     AND (NOT $7::boolean OR r.computed_at <= m.event_time)
   ORDER BY r.event_time DESC, r.computed_at DESC
   LIMIT 1`;

/** As it was known: a row whose values changed later counts with what it held before. */
const NEWEST_KNOWN = `SELECT known."values"
  FROM ((${newestIn('feature_rows')}) UNION ALL (${newestIn('feature_row_revisions')})) known
  ORDER BY known.event_time DESC, known.computed_at DESC
  LIMIT 1`;

/** @returns for each moment, in order, the values of the newest row at or before it */
export async function pointInTimeJoin(
  sql: SqlExecutor,
  moments: readonly Moment[],
  { view, ttlMs, knownBy, knownAtMoment }: PointInTimeQuery,
): Promise<readonly (Readonly<Record<string, FeatureValue>> | undefined)[]> {
  const found = new Array<Readonly<Record<string, FeatureValue>> | undefined>(moments.length).fill(undefined);
  const isAsKnown = knownBy !== undefined || knownAtMoment === true;
  const newest = isAsKnown ? NEWEST_KNOWN : newestIn('feature_rows');
  const join = async (start: number): Promise<void> => {
    const some = moments.slice(start, start + MOMENTS_A_STATEMENT);
    const rows = await sql.query<{ readonly values: Readonly<Record<string, FeatureValue>> | null }>(
      `SELECT f."values"
       FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS m(entity_key, event_time, place)
       LEFT JOIN LATERAL (${newest}) f ON true
       ORDER BY m.place`,
      [
        some.map(({ entityKey }) => entityKey),
        some.map(({ eventTime: at }) => new Date(at).toISOString()),
        view.view,
        view.version,
        ttlMs === undefined || ttlMs === 0 ? null : ttlMs,
        knownBy === undefined ? null : new Date(knownBy),
        knownAtMoment ?? false,
      ],
    );
    for (const [at, { values }] of rows.entries()) found[start + at] = values ?? undefined;
  };
  let next = 0;
  const inTurn = async (): Promise<void> => {
    while (next < moments.length) {
      const start = next;
      next += MOMENTS_A_STATEMENT;
      await join(start);
    }
  };
  await Promise.all(Array.from({ length: STATEMENTS_AT_ONCE }, inTurn));
  return found;
}
