import type { Erasure, StoredErasures } from '#feature_store/erasure/erasures';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type { ErasureStore } from './erasure_store.ts';

// Which entities were erased, in SQL.

const TIME = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::double precision`;

async function readErasures(sql: SqlExecutor, sinceMs: number): Promise<StoredErasures> {
  const [row] = await sql.query<{ readonly secret: string }>('SELECT secret FROM erasure_secret');
  const erasures = await sql.query<Erasure>(
    `SELECT fingerprint, ${TIME('erased_at')} AS "erasedAtMs" FROM erasures WHERE erased_at >= $1 ORDER BY erased_at`,
    [new Date(Math.max(0, sinceMs))],
  );
  return { secret: row?.secret ?? '', erasures };
}

/** An entity erased again is so anew: its earlier erasure is part of this one. */
async function writeErasure(sql: SqlExecutor, { fingerprint, erasedAtMs }: Erasure): Promise<void> {
  await sql.query(
    `INSERT INTO erasures (fingerprint, erased_at) VALUES ($1, $2)
     ON CONFLICT (fingerprint) DO UPDATE SET erased_at = greatest(erasures.erased_at, EXCLUDED.erased_at), applied_at = NULL`,
    [fingerprint, new Date(erasedAtMs)],
  );
}

async function markErasureApplied(sql: SqlExecutor, { fingerprint, erasedAtMs }: Erasure): Promise<void> {
  await sql.query('UPDATE erasures SET applied_at = now() WHERE fingerprint = $1 AND erased_at <= $2', [
    fingerprint,
    new Date(erasedAtMs),
  ]);
}

async function isErasureApplied(sql: SqlExecutor, fingerprint: string): Promise<boolean> {
  const [row] = await sql.query<{ readonly applied: boolean }>(
    'SELECT applied_at IS NOT NULL AS applied FROM erasures WHERE fingerprint = $1',
    [fingerprint],
  );
  return row?.applied === true;
}

export const sqlErasureStore = (sql: SqlExecutor): ErasureStore => ({
  read: (sinceMs) => readErasures(sql, sinceMs),
  write: (erasure) => writeErasure(sql, erasure),
  markApplied: (erasure) => markErasureApplied(sql, erasure),
  isApplied: (fingerprint) => isErasureApplied(sql, fingerprint),
});
