import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { JsonObject } from '#kernel/json';
import type { RoutingRow, RoutingStore } from './routing.ts';

// How requests are assigned to versions, in SQL.

interface Stored {
  readonly model: string;
  readonly revision: number;
  readonly at_ms: string;
  readonly by_whom: string;
  readonly reason: string;
  readonly state: JsonObject;
}

const COLUMNS = `model, revision, (extract(epoch FROM at) * 1000)::bigint::text AS at_ms, by_whom, reason, state`;

const rowOf = ({ model, revision, at_ms, by_whom, reason, state }: Stored): RoutingRow => ({
  ...{ model, revision, by: by_whom, reason, state },
  atMs: Number(at_ms),
});

async function readRouting(sql: SqlExecutor): Promise<readonly RoutingRow[]> {
  const rows = await sql.query<Stored>(
    `SELECT DISTINCT ON (model) ${COLUMNS} FROM model_routing ORDER BY model, revision DESC`,
  );
  return rows.map(rowOf);
}

async function appendRouting(sql: SqlExecutor, row: RoutingRow): Promise<boolean> {
  const written = await sql.query(
    `INSERT INTO model_routing (model, revision, at, by_whom, reason, state) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
     ON CONFLICT DO NOTHING RETURNING revision`,
    [row.model, row.revision, new Date(row.atMs), row.by, row.reason, JSON.stringify(row.state)],
  );
  return written.length > 0;
}

async function listRouting(sql: SqlExecutor, model: string, limit: number): Promise<readonly RoutingRow[]> {
  const rows = await sql.query<Stored>(
    `SELECT ${COLUMNS} FROM model_routing WHERE model = $1 ORDER BY revision DESC LIMIT $2`,
    [model, limit],
  );
  return rows.map(rowOf);
}

export const sqlRoutingStore = (sql: SqlExecutor): RoutingStore => ({
  read: () => readRouting(sql),
  append: (row) => appendRouting(sql, row),
  list: (model, limit) => listRouting(sql, model, limit),
});
