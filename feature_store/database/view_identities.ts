import type { FeatureView } from '#feature_store/definitions/feature_view';
import { optionalJoinKeys } from '#feature_store/definitions/values/previous_entity_key';
import type { Logger } from '#monitoring/log';
import type { SqlExecutor } from './sql_executor.ts';

/** The migration that names entities in keys. */
export const ENTITY_KEYS_MIGRATION = '0011_entity_keys.sql';

/** Writes the table that the migration reads: how each view identifies its entity. */
export function viewIdentities(views: readonly FeatureView[]): string {
  const rows = views.map((view) => {
    const types = view.joinKeyTypes.map(literal).join(', ');
    const cells = [literal(view.view), view.version, literal(view.entity.name), `ARRAY[${types}]`];
    return `(${cells.join(', ')}, ARRAY[${optionalJoinKeys(view).join(', ')}])`;
  });
  const table = `CREATE TEMPORARY TABLE view_identities (view text, version integer, entity text, types text[], optional boolean[]) ON COMMIT DROP`;
  return rows.length === 0 ? `${table};\n` : `${table};\nINSERT INTO view_identities VALUES ${rows.join(', ')};\n`;
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Logs which keys stayed as they were, and why. */
export async function reportKeysLeft(sql: SqlExecutor, log: Logger): Promise<void> {
  const left = await sql.query<Readonly<Record<'source' | 'scope' | 'reason' | 'example', string> & { keys: number }>>(
    `SELECT source, scope, reason, min(entity_key) AS example, count(*)::integer AS keys
     FROM entity_keys_left GROUP BY source, scope, reason ORDER BY source, scope, reason`,
  );
  for (const each of left) log.warn({ ...each }, 'offline_store.entity_keys_left');
}
