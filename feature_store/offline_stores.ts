import type { AuditTrail } from './audit/audit_trail.ts';
import type { ModelAuditStore } from './audit/model_audit_store.ts';
import { sqlAuditTrail } from './audit/sql_audit_trail.ts';
import { sqlModelAuditStore } from './audit/sql_model_audit.ts';
import { sqlSubjectRows } from './data_subjects/sql_subject_rows.ts';
import type { SubjectRows } from './data_subjects/subject_rows.ts';
import type { Retention } from './database/retention.ts';
import type { SqlDatabase } from './database/sql_database.ts';
import { sqlRetention } from './database/sql_retention.ts';
import type { DefinitionStore } from './definition_store/applied_definitions.ts';
import { sqlDefinitionStore } from './definition_store/sql_definitions.ts';
import type { ErasureStore } from './erasure/erasure_store.ts';
import { sqlErasureStore } from './erasure/sql_erasures.ts';
import type { LabelStore } from './labels/label_store.ts';
import { sqlLabelStore } from './labels/sql_labels.ts';
import type { OwnOfflineStore } from './offline/define_offline_store.ts';
import type { EmbeddingSearch } from './offline/embedding_search.ts';
import type { OfflineStore } from './offline/offline_store.ts';
import type { QueryHistory } from './offline/query_history.ts';
import { sqlEmbeddingSearch } from './offline/sql_embeddings.ts';
import { sqlHistory } from './offline/sql_history.ts';
import { SqlOfflineStore } from './offline/sql_store.ts';
import { ownFeatures, withOwnRetention, withOwnSubjectRows } from './own_offline_store.ts';
import { sqlStatisticsStore } from './statistics/sql_statistics.ts';
import type { StatisticsStore } from './statistics/statistics_store.ts';

/** The feature store's stores in one offline database. */
export interface OfflineStores {
  readonly features: OfflineStore;
  readonly embeddings: EmbeddingSearch;
  readonly labels: LabelStore;
  readonly history: QueryHistory;
  readonly statistics: StatisticsStore;
  readonly definitions: DefinitionStore;
  readonly erasures: ErasureStore;
  readonly subjects: SubjectRows;
  readonly retention: Retention;
  readonly modelAudit: ModelAuditStore;
  readonly auditTrail: AuditTrail;
}

/** @param own - has the rows of features instead of the database */
export function offlineStoresIn(
  database: Pick<SqlDatabase, 'sql' | 'partitions' | 'views'>,
  own?: OwnOfflineStore,
): OfflineStores {
  const { sql } = database;
  const features = new SqlOfflineStore(database);
  const [subjects, retention] = [sqlSubjectRows(sql), sqlRetention(database)];
  return {
    ...(own === undefined
      ? { features, subjects, retention }
      : {
          features: ownFeatures(own, features, database),
          subjects: withOwnSubjectRows(own, subjects),
          retention: withOwnRetention(own, retention),
        }),
    embeddings: sqlEmbeddingSearch(sql),
    labels: sqlLabelStore(sql),
    history: sqlHistory(sql),
    statistics: sqlStatisticsStore(sql),
    definitions: sqlDefinitionStore(sql),
    erasures: sqlErasureStore(sql),
    modelAudit: sqlModelAuditStore(sql),
    auditTrail: sqlAuditTrail(sql),
  };
}
