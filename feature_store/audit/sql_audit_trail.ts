import type { SqlExecutor } from '../database/sql_executor.ts';
import type { AuditCheck, AuditHash, AuditTrail } from './audit_trail.ts';

// The chain of what was done by whom, in SQL: migration 0008 makes it.

/** Tables whose rows are in the chain, with what tells them apart. */
const SOURCES = { model_audit: ['id'], model_routing: ['model', 'revision'] } as const;

/** @param head - a hash that was the newest one once: it must still be in the chain */
async function verifyAuditTrail(sql: SqlExecutor, head: string | undefined): Promise<AuditCheck> {
  const [found] = await sql.query<{
    readonly entries: number;
    readonly newest: string | null;
    readonly known: boolean;
  }>(
    `SELECT count(*)::integer AS entries, coalesce(bool_or(encode(hash, 'hex') = $1), false) AS known,
       (SELECT encode(hash, 'hex') FROM audit_trail ORDER BY id DESC LIMIT 1) AS newest
     FROM audit_trail`,
    [head ?? ''],
  );
  const problems = [...(await brokenLinks(sql)), ...(await changedRows(sql))];
  if (head !== undefined && found?.known !== true) problems.push(`no entry has the hash ${head} any more`);
  return { entries: found?.entries ?? 0, head: found?.newest ?? undefined, problems };
}

/** In the order of the chain, the first `from` left out. */
const readAuditHashes = (sql: SqlExecutor, from: number, limit: number): Promise<readonly AuditHash[]> =>
  sql.query<AuditHash>(
    `SELECT id::text, encode(hash, 'hex') AS hash FROM audit_trail ORDER BY audit_trail.id OFFSET $1 LIMIT $2`,
    [from, limit],
  );

async function brokenLinks(sql: SqlExecutor): Promise<readonly string[]> {
  const broken = await sql.query<{ readonly id: string; readonly changed: boolean }>(
    `SELECT id::text, changed FROM (
       SELECT id, hash <> audit_hash(previous, source, entry) AS changed,
         previous IS DISTINCT FROM lag(hash) OVER (ORDER BY id) AS loose
       FROM audit_trail
     ) AS links WHERE changed OR loose ORDER BY id`,
  );
  return broken.map(({ id, changed }) =>
    changed ? `entry ${id} was changed` : `what was before entry ${id} is gone, or another`,
  );
}

/** Rows of the tables that are not, or no longer, what the chain says. */
async function changedRows(sql: SqlExecutor): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [table, keys] of Object.entries(SOURCES)) {
    const same = keys.map((key) => `held.${key} = told.${key}`).join(' AND ');
    const found = await sql.query<{ readonly row: string; readonly what: string }>(
      `SELECT coalesce(to_jsonb(held), to_jsonb(told))::text AS row,
         CASE WHEN held IS NULL THEN 'is gone' WHEN told IS NULL THEN 'is not in the trail' ELSE 'was changed' END AS what
       FROM ${table} AS held
       FULL JOIN (
         SELECT (jsonb_populate_record(NULL::${table}, entry)).* FROM audit_trail WHERE source = '${table}'
       ) AS told ON ${same}
       WHERE to_jsonb(held) IS DISTINCT FROM to_jsonb(told)`,
    );
    problems.push(...found.map(({ row, what }) => `a row of ${table} ${what}: ${row}`));
  }
  return problems;
}

export const sqlAuditTrail = (sql: SqlExecutor): AuditTrail => ({
  verify: (head) => verifyAuditTrail(sql, head),
  readHashes: (from, limit) => readAuditHashes(sql, from, limit),
});
