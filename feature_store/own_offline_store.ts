import { storedJson } from '#feature_store/definitions/values/encode_row';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { JsonObject } from '#kernel/json';
import { isoTime } from '#kernel/time';
import type { SubjectRows } from './data_subjects/subject_rows.ts';
import type { Retention } from './database/retention.ts';
import type { SqlDatabase } from './database/sql_database.ts';
import { FEATURE_METHODS, type OwnOfflineStore } from './offline/define_offline_store.ts';
import type { OfflineStore } from './offline/offline_store.ts';
import { EmbeddingWriter } from './offline/sql_embeddings.ts';

// The rows of features in a store of the project's own, beside the platform's database, which has everything else.

const ROWS_A_PAGE = 1_000;
/** After any time that a row was computed, and within the times of every database. */
const ALL_TIMES = Date.UTC(9999, 0);

/** Returns the store's features; the newest embeddings are in the database as well, where they are searched. */
export function ownFeatures(
  own: OwnOfflineStore,
  inDatabase: OfflineStore,
  database: Pick<SqlDatabase, 'sql' | 'views'>,
) {
  const embeddings = EmbeddingWriter.of(database.sql, database.views);
  const names = Object.keys(FEATURE_METHODS) as (keyof OfflineStore)[];
  const features = Object.fromEntries(names.map((name) => [name, own[name].bind(own)])) as unknown as OfflineStore;
  return {
    ...features,
    async write(...[rows, writer]: Parameters<OfflineStore['write']>) {
      await own.write(rows, writer);
      await embeddings?.write(rows);
    },
    async writeFeatures(...[rows, written, writer]: Parameters<OfflineStore['writeFeatures']>) {
      await own.writeFeatures(rows, written, writer);
      await embeddings?.write(rows, written);
    },
    async eraseRowsComputedBy(entityKey: EntityKey, computedAtMs: number) {
      await inDatabase.eraseRowsComputedBy(entityKey, computedAtMs);
      return own.eraseRowsComputedBy(entityKey, computedAtMs);
    },
  } satisfies OfflineStore;
}

/** Returns the rows of entities in the database and in the store. */
export function withOwnSubjectRows(own: OwnOfflineStore, database: SubjectRows): SubjectRows {
  const count = async (entityKey: EntityKey): Promise<number> => {
    let offset = 0;
    for (;;) {
      const { length } = await own.rowsOf(entityKey, 'rows', { offset, limit: ROWS_A_PAGE });
      offset += length;
      if (length < ROWS_A_PAGE) return offset;
    }
  };
  return {
    async erase(entityKey, dryRun, joinKeys) {
      const found = dryRun ? await count(entityKey) : await own.eraseRowsComputedBy(entityKey, ALL_TIMES);
      const erased = await database.erase(entityKey, dryRun, joinKeys);
      return { ...erased, featureRows: erased.featureRows + found };
    },
    async read(table, entityKey, joinKeys, page) {
      if (table === 'feature_rows') return (await own.rowsOf(entityKey, 'rows', page)).map(columnsOf);
      if (table === 'feature_row_revisions') return (await own.rowsOf(entityKey, 'revisions', page)).map(columnsOf);
      return database.read(table, entityKey, joinKeys, page);
    },
  };
}

/** As the database's table has a row. */
const columnsOf = (row: FeatureRow): JsonObject => ({
  ...{ view: row.view, version: row.version, entity_key: row.entityKey },
  ...{ event_time: isoTime(row.eventTime), computed_at: isoTime(row.computedAt) },
  values: JSON.parse(storedJson(row)) as JsonObject,
});

/** Returns the retention of the database, which covers the store's rows as well. */
export const withOwnRetention = (own: OwnOfflineStore, database: Retention): Retention => ({
  async deleteBefore(time, dryRun) {
    const deleted = await database.deleteBefore(time, dryRun);
    return { ...deleted, featureRows: deleted.featureRows + (await own.deleteBefore(time, dryRun)) };
  },
});
