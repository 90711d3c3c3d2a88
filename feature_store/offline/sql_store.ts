import { upsertStatement } from '#connectors/postgres/upsert';
import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import { valuesJson } from '#feature_store/definitions/encode_row';
import type { EntityKey, KeyedEntity } from '#feature_store/definitions/entity_key';
import type { FeatureRow, FeatureValue, ViewReference } from '#feature_store/definitions/feature_row';
import type { FeatureView, ViewDescription } from '#feature_store/definitions/feature_view';
import type { Erasure, StoredErasures } from '#feature_store/erasure/erasures';
import type { JsonObject } from '#kernel/json';
import { DAY_MS, type EventTime, eventTime, isoTime, processingTime } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { OfflineStoreError } from '../errors.ts';
import type {
  ApplyLock,
  ApplyOwner,
  DefinitionRecord,
  FirstDefinitions,
  StoredDefinition,
} from './applied_definitions.ts';
import { ensureHypertable } from './hypertable.ts';
import { migrate } from './migrate.ts';
import type {
  AuditCheck,
  AuditHash,
  Deleted,
  DriftFilter,
  DriftReport,
  EntityTable,
  Erased,
  ExperimentOutcomes,
  FeedbackRow,
  HistoryPage,
  JoinKeyValues,
  JudgedPrediction,
  LabelRow,
  ModelAuditEntry,
  Moment,
  NamedPrediction,
  NewPrediction,
  OfflineStore,
  OutcomesQuery,
  PointInTimeQuery,
  PredictionFilter,
  PredictionRow,
  RequestRow,
  RoutingRow,
  StatisticsFilter,
  TimeRange,
} from './offline_store.ts';
import { readAuditHashes, verifyAuditTrail } from './sql_audit_trail.ts';
import {
  holdApplyLock,
  lockApply,
  readApplyLock,
  readBackfillRate,
  readDefinitions,
  recordApplied,
  recordBackfill,
  recordDefinitions,
  removeDefinitions,
  unlockApply,
} from './sql_definitions.ts';
import { judgedPredictions, listDriftReports, writeDriftReports } from './sql_drift.ts';
import { entityRows, eraseEntity, eraseRowsComputedBy } from './sql_entity.ts';
import { isErasureApplied, markErasureApplied, readErasures, writeErasure } from './sql_erasures.ts';
import type { SqlExecutor } from './sql_executor.ts';
import { experimentOutcomes, modelsOfRequests, writeFeedback } from './sql_feedback.ts';
import { readHistory } from './sql_history.ts';
import { pointInTimeJoin, queryLabels, readLabels, writeLabels } from './sql_labels.ts';
import { listModelAudit, writeModelAudit } from './sql_model_audit.ts';
import { countPredictions, findPredictions, listPredictions, writePredictions } from './sql_predictions.ts';
import { deleteBefore } from './sql_retention.ts';
import { appendRouting, listRouting, readRouting } from './sql_routing.ts';
import { listStatistics, writeStatistics } from './sql_statistics.ts';

const ROWS_A_STATEMENT = 500;
const SAMPLED_FOR_EACH = 50;

const READ_ONLY_SQL_TRANSACTION = '25006';
const ROW_COLUMNS = ['view', 'version', 'entity_key', 'event_time', 'computed_at', 'values'];
const UPSERT_ROWS = upsertStatement({
  table: 'feature_rows',
  columns: ROW_COLUMNS,
  key: ['view', 'version', 'entity_key', 'event_time'],
  source: `(SELECT * FROM ROWS FROM (
    unnest($1::text[]), unnest($2::integer[]), unnest($3::text[]), unnest($4::timestamptz[]), unnest($5::timestamptz[]),
    jsonb_array_elements($6::jsonb)
  ) AS each_row(view, version, entity_key, event_time, computed_at, "values"))`,
  replace: { unlessNewer: 'computed_at' },
  // Repeating a value does not change when it became known.
  unlessEqual: 'values',
});

/** The values of the named features of a row, of which `row` holds all. */
const partOf = (row: string): string =>
  `(SELECT jsonb_object_agg(name, COALESCE(${row}."values" -> name, 'null')) FROM unnest($7::text[]) AS name)`;
const MERGED = `held."values" || ${partOf('excluded')}`;
/** A row that is new has the other features as of its time. */
const UPSERT_FEATURES = `INSERT INTO feature_rows AS held (view, version, entity_key, event_time, computed_at, "values")
  SELECT sent.view, sent.version, sent.entity_key, sent.event_time, sent.computed_at,
    COALESCE((
      SELECT r."values" FROM feature_rows r
      WHERE r.view = sent.view AND r.version = sent.version AND r.entity_key = sent.entity_key AND r.event_time <= sent.event_time
      ORDER BY r.event_time DESC LIMIT 1
    ), sent."values") || ${partOf('sent')}
  FROM ROWS FROM (
    unnest($1::text[]), unnest($2::integer[]), unnest($3::text[]), unnest($4::timestamptz[]), unnest($5::timestamptz[]),
    jsonb_array_elements($6::jsonb)
  ) AS sent(view, version, entity_key, event_time, computed_at, "values")
  ORDER BY sent.view, sent.version, sent.entity_key, sent.event_time
  ON CONFLICT (view, version, entity_key, event_time) DO UPDATE
  SET "values" = ${MERGED}, computed_at = GREATEST(excluded.computed_at, held.computed_at + interval '1 millisecond')
  WHERE held."values" IS DISTINCT FROM ${MERGED}`;

/** The offline store in SQL; the same statements on a PostgreSQL server and on PGlite. */
export class SqlOfflineStore implements OfflineStore {
  readonly kind: string;
  readonly name: string;
  readonly #sql: SqlExecutor;
  readonly #log: Logger;
  readonly #views: readonly FeatureView[];
  readonly #months = new Set<string>();
  #isHypertable = false;

  /** @param deps - `views`: those that are defined, for rows of releases before entity keys */
  constructor(deps: { sql: SqlExecutor; log: Logger; views?: readonly FeatureView[] }, kind: string) {
    this.kind = kind;
    this.name = `offline store (${kind})`;
    this.#sql = deps.sql;
    this.#views = deps.views ?? [];
    this.#log = deps.log.child({ component: 'feature_store.offline' });
  }

  async start(): Promise<void> {
    await this.#sql.open();
    await migrate(this.#sql, this.#log, this.#views);
    this.#isHypertable = await ensureHypertable(this.#sql, this.#log);
  }

  async checkHealth(): Promise<void> {
    const [state] = await this.#sql.query<{ readonly recovering: boolean; readonly read_only: string }>(
      `SELECT pg_is_in_recovery() AS recovering, current_setting('transaction_read_only') AS read_only`,
    );
    const isReadOnly = state?.recovering === true || state?.read_only === 'on';
    if (!isReadOnly) return;
    const why = state.recovering ? 'it is a standby' : 'default_transaction_read_only is on';
    const cause = Object.assign(new Error(`the database is read-only: ${why}`), { code: READ_ONLY_SQL_TRANSACTION });
    throw new OfflineStoreError('take a write', cause, 'transient');
  }

  write(rows: readonly FeatureRow[]): Promise<void> {
    return this.#writeRows(rows, UPSERT_ROWS, []);
  }

  writeFeatures(rows: readonly FeatureRow[], names: readonly string[]): Promise<void> {
    return this.#writeRows(rows, UPSERT_FEATURES, [names]);
  }

  async #writeRows(rows: readonly FeatureRow[], statement: string, more: readonly unknown[]): Promise<void> {
    // Months are few, and nearly always known.
    if (!this.#isHypertable) for (const month of monthsOf(rows)) await this.#ensureMonth(month);
    // Statements run side by side: none may have a key of another. Of rows with one key the newest counts, or the last.
    const unique = new Map<string, FeatureRow>();
    for (const row of rows) {
      const key = `${row.view}|${row.version}|${row.eventTime}|${row.entityKey}`;
      const held = unique.get(key);
      if (held === undefined || held.computedAt <= row.computedAt) unique.set(key, row);
    }
    // In the order of their keys: writers of the same rows, in other processes, wait for each other and not in a circle.
    const list = [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
    const batches: FeatureRow[][] = [];
    for (let start = 0; start < list.length; start += ROWS_A_STATEMENT) {
      batches.push(list.slice(start, start + ROWS_A_STATEMENT));
    }
    // Side by side, as far as there are connections: no two touch the same row.
    await Promise.all(batches.map((batch) => this.#writeBatch(batch, statement, more)));
  }

  async #writeBatch(batch: readonly FeatureRow[], statement: string, more: readonly unknown[]): Promise<void> {
    await this.#sql.query(statement, [
      batch.map(({ view }) => view),
      batch.map(({ version }) => version),
      batch.map(({ entityKey }) => entityKey),
      batch.map(({ eventTime: at }) => isoTime(at)),
      batch.map(({ computedAt }) => isoTime(computedAt)),
      `[${batch.map(({ values }) => valuesJson(values)).join(',')}]`,
      ...more,
    ]);
  }

  /** Makes the partition of a month when it is first needed; two writers at once may both try. */
  async #ensureMonth(month: string): Promise<void> {
    if (this.#months.has(month)) return;
    const from = new Date(`${month}-01T00:00:00Z`);
    const to = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1, 1));
    const partition = `feature_rows_${month.replace('-', '_')}`;
    try {
      await this.#sql.query(
        `CREATE TABLE IF NOT EXISTS ${partition} PARTITION OF feature_rows FOR VALUES FROM ('${from.toISOString()}') TO ('${to.toISOString()}')`,
      );
    } catch (error) {
      const [found] = await this.#sql.query(
        'SELECT 1 FROM pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace',
        [partition],
      );
      if (found === undefined) throw error;
    }
    this.#months.add(month);
  }

  writeLabels(source: string, labels: readonly LabelRow[]): Promise<void> {
    return writeLabels(this.#sql, source, labels);
  }

  readLabels(source: string, range: TimeRange): Promise<readonly LabelRow[]> {
    return readLabels(this.#sql, source, range);
  }

  queryLabels(query: string, range: TimeRange, of: KeyedEntity): Promise<readonly LabelRow[]> {
    return queryLabels(this.#sql, query, range, of);
  }

  pointInTimeJoin(moments: readonly Moment[], query: PointInTimeQuery) {
    return pointInTimeJoin(this.#sql, moments, query);
  }

  readHistory(query: string, page: HistoryPage) {
    return readHistory(this.#sql, query, page);
  }

  writeStatistics(rows: readonly WindowStatistics[]): Promise<void> {
    return writeStatistics(this.#sql, rows);
  }

  listStatistics(filter: StatisticsFilter): Promise<readonly WindowStatistics[]> {
    return listStatistics(this.#sql, filter);
  }

  async countRows({ view, version }: ViewReference): Promise<number> {
    const [row] = await this.#sql.query<{ n: number }>(
      'SELECT count(*)::integer AS n FROM feature_rows WHERE view = $1 AND version = $2',
      [view, version],
    );
    if (row === undefined) throw new OfflineStoreError('count', new Error('no answer'), 'target');
    return row.n;
  }

  async newestRows(
    view: ViewReference,
    { after, limit }: { readonly after?: EntityKey; readonly limit: number },
  ): Promise<readonly FeatureRow[]> {
    // Entity by entity: an index lookup each, however long their histories are.
    const rows = await this.#sql.query<StoredRow>(
      `WITH RECURSIVE keys AS (
         (SELECT entity_key, 1 AS n FROM feature_rows WHERE view = $1 AND version = $2 AND ($3::text IS NULL OR entity_key > $3) ORDER BY entity_key LIMIT 1)
         UNION ALL
         SELECT (SELECT r.entity_key FROM feature_rows r WHERE r.view = $1 AND r.version = $2 AND r.entity_key > keys.entity_key ORDER BY r.entity_key LIMIT 1), keys.n + 1
         FROM keys WHERE keys.entity_key IS NOT NULL AND keys.n < $4
       )
       SELECT keys.entity_key, (extract(epoch FROM f.event_time) * 1000)::bigint::text AS at,
              (extract(epoch FROM f.computed_at) * 1000)::bigint::text AS computed, f."values"
       FROM keys
       JOIN LATERAL (
         SELECT r.event_time, r.computed_at, r."values" FROM feature_rows r
         WHERE r.view = $1 AND r.version = $2 AND r.entity_key = keys.entity_key
         ORDER BY r.event_time DESC LIMIT 1
       ) f ON true
       WHERE keys.entity_key IS NOT NULL
       ORDER BY keys.entity_key`,
      [view.view, view.version, after ?? null, limit],
    );
    return rows.map((row) => rowOf(view, row));
  }

  async timesOf({ view, version }: ViewReference) {
    const [row] = await this.#sql.query<{ readonly oldest: string | null; readonly newest: string | null }>(
      `SELECT (extract(epoch FROM min(event_time)) * 1000)::bigint::text AS oldest,
              (extract(epoch FROM max(event_time)) * 1000)::bigint::text AS newest
       FROM feature_rows WHERE view = $1 AND version = $2`,
      [view, version],
    );
    if (row === undefined || row.oldest === null || row.newest === null) return undefined;
    return { oldest: eventTime(Number(row.oldest)), newest: eventTime(Number(row.newest)) };
  }

  async sampleEntities({ view, version }: ViewReference, most: number): Promise<readonly EntityKey[]> {
    const [sized] = await this.#sql.query<{ readonly n: string | null }>(
      `SELECT sum(c.reltuples)::bigint::text AS n FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = 'feature_rows'::regclass`,
    );
    // Pages of a large table, enough of them for other views and entities that come twice; all of a small one.
    const share = Math.min(100, (100 * SAMPLED_FOR_EACH * most) / Math.max(1, Number(sized?.n ?? 0)));
    const rows = await this.#sql.query<{ readonly entity_key: EntityKey }>(
      `SELECT entity_key FROM (
         SELECT DISTINCT entity_key FROM feature_rows TABLESAMPLE SYSTEM (${share.toFixed(6)}) WHERE view = $1 AND version = $2
       ) sampled ORDER BY random() LIMIT $3`,
      [view, version, most],
    );
    const sampled = new Set(rows.map(({ entity_key: key }) => key));
    if (sampled.size === most) return [...sampled];
    // A view with few rows between many of others: its first entities do as well.
    for (const { entityKey } of await this.newestRows({ view, version }, { limit: most })) sampled.add(entityKey);
    return [...sampled].slice(0, most);
  }

  async newestOf(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly FeatureRow[]> {
    const rows = await this.#sql.query<StoredRow>(
      `SELECT keys.entity_key, (extract(epoch FROM f.event_time) * 1000)::bigint::text AS at,
              (extract(epoch FROM f.computed_at) * 1000)::bigint::text AS computed, f."values"
       FROM (SELECT DISTINCT unnest($3::text[]) AS entity_key) keys
       JOIN LATERAL (
         SELECT r.event_time, r.computed_at, r."values" FROM feature_rows r
         WHERE r.view = $1 AND r.version = $2 AND r.entity_key = keys.entity_key
         ORDER BY r.event_time DESC LIMIT 1
       ) f ON true`,
      [view.view, view.version, entityKeys],
    );
    return rows.map((row) => rowOf(view, row));
  }

  async rowsComputedSince(view: ViewReference, sinceMs: number, page: RowPage): Promise<readonly FeatureRow[]> {
    // Older months need not be looked at.
    return this.#page(view, 'event_time >= $3 AND computed_at >= $4', [sinceMs - 2 * DAY_MS, sinceMs], page);
  }

  async rowsBetween(view: ViewReference, range: TimeRange, page: RowPage): Promise<readonly FeatureRow[]> {
    return this.#page(view, 'event_time >= $3 AND event_time < $4', [range.from, range.to], page);
  }

  /** Rows of a view by entity and time. @param times - SQL about $3 and $4, two times in ms */
  async #page(
    view: ViewReference,
    times: string,
    [first, second]: readonly [number, number],
    { limit, after }: RowPage,
  ): Promise<readonly FeatureRow[]> {
    const rows = await this.#sql.query<StoredRow>(
      `SELECT entity_key, (extract(epoch FROM event_time) * 1000)::bigint::text AS at,
              (extract(epoch FROM computed_at) * 1000)::bigint::text AS computed, "values"
       FROM feature_rows
       WHERE view = $1 AND version = $2 AND ${times}
         AND ($5::text IS NULL OR (entity_key, event_time) > ($5, $6::timestamptz))
       ORDER BY entity_key, event_time
       LIMIT $7`,
      [
        view.view,
        view.version,
        new Date(first),
        new Date(second),
        after?.entityKey ?? null,
        after === undefined ? null : new Date(after.eventTime),
        limit,
      ],
    );
    return rows.map((row) => rowOf(view, row));
  }

  async readDefinition({ view, version }: ViewReference): Promise<ViewDescription | undefined> {
    const [row] = await this.#sql.query<{ readonly description: ViewDescription }>(
      'SELECT description FROM feature_views WHERE view = $1 AND version = $2',
      [view, version],
    );
    return row?.description;
  }

  async writeDefinition(description: ViewDescription): Promise<void> {
    await this.#sql.query(
      `INSERT INTO feature_views (view, version, description) VALUES ($1, $2, $3::jsonb)
       ON CONFLICT (view, version) DO UPDATE SET description = excluded.description, updated_at = now()
       WHERE feature_views.description IS DISTINCT FROM excluded.description`,
      [description.view, description.version, JSON.stringify(description)],
    );
  }

  readDefinitions(): Promise<readonly StoredDefinition[]> {
    return readDefinitions(this.#sql);
  }

  recordDefinitions(definitions: readonly DefinitionRecord[], first: FirstDefinitions): Promise<void> {
    return recordDefinitions(this.#sql, definitions, first);
  }

  recordApplied(definitions: readonly DefinitionRecord[]): Promise<void> {
    return recordApplied(this.#sql, definitions);
  }

  removeDefinitions(definitions: readonly Pick<DefinitionRecord, 'kind' | 'id'>[]): Promise<void> {
    return removeDefinitions(this.#sql, definitions);
  }

  lockApply(owner: ApplyOwner, replaces: string | undefined): Promise<boolean> {
    return lockApply(this.#sql, owner, replaces);
  }

  readApplyLock(): Promise<ApplyLock | undefined> {
    return readApplyLock(this.#sql);
  }

  holdApplyLock(id: string): Promise<boolean> {
    return holdApplyLock(this.#sql, id);
  }

  unlockApply(id: string): Promise<void> {
    return unlockApply(this.#sql, id);
  }

  recordBackfill(events: number, seconds: number): Promise<void> {
    return recordBackfill(this.#sql, events, seconds);
  }

  readBackfillRate(): Promise<number | undefined> {
    return readBackfillRate(this.#sql);
  }

  writePredictions(rows: readonly NewPrediction[]): Promise<void> {
    return writePredictions(this.#sql, rows);
  }

  findPredictions(rows: readonly RequestRow[]): Promise<readonly NamedPrediction[]> {
    return findPredictions(this.#sql, rows);
  }

  countPredictions(): Promise<number> {
    return countPredictions(this.#sql);
  }

  listPredictions(filter: PredictionFilter): Promise<readonly PredictionRow[]> {
    return listPredictions(this.#sql, filter);
  }

  writeModelAudit(entry: ModelAuditEntry): Promise<void> {
    return writeModelAudit(this.#sql, entry);
  }

  listModelAudit(model: string, limit: number): Promise<readonly ModelAuditEntry[]> {
    return listModelAudit(this.#sql, model, limit);
  }

  verifyAuditTrail(head?: string): Promise<AuditCheck> {
    return verifyAuditTrail(this.#sql, head);
  }

  readAuditHashes(from: number, limit: number): Promise<readonly AuditHash[]> {
    return readAuditHashes(this.#sql, from, limit);
  }

  readRouting(): Promise<readonly RoutingRow[]> {
    return readRouting(this.#sql);
  }

  appendRouting(row: RoutingRow): Promise<boolean> {
    return appendRouting(this.#sql, row);
  }

  listRouting(model: string, limit: number): Promise<readonly RoutingRow[]> {
    return listRouting(this.#sql, model, limit);
  }

  modelsOfRequests(requestIds: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    return modelsOfRequests(this.#sql, requestIds);
  }

  writeFeedback(rows: readonly FeedbackRow[]): Promise<void> {
    return writeFeedback(this.#sql, rows);
  }

  experimentOutcomes(query: OutcomesQuery): Promise<readonly ExperimentOutcomes[]> {
    return experimentOutcomes(this.#sql, query);
  }

  writeDriftReports(reports: readonly DriftReport[]): Promise<void> {
    return writeDriftReports(this.#sql, reports);
  }

  listDriftReports(filter: DriftFilter): Promise<readonly DriftReport[]> {
    return listDriftReports(this.#sql, filter);
  }

  judgedPredictions(sinceMs: number, limit: number): Promise<readonly JudgedPrediction[]> {
    return judgedPredictions(this.#sql, sinceMs, limit);
  }

  async deleteBefore(time: EventTime, dryRun: boolean): Promise<Deleted> {
    const deleted = await deleteBefore(this.#sql, time, { dryRun, isHypertable: this.#isHypertable });
    // A month that comes again needs its partition made again.
    this.#months.clear();
    return deleted;
  }

  eraseEntity(entityKey: EntityKey, dryRun: boolean, joinKeys: JoinKeyValues = {}): Promise<Erased> {
    return eraseEntity(this.#sql, { entityKey, joinKeys }, dryRun);
  }

  eraseRowsComputedBy(entityKey: EntityKey, computedAtMs: number): Promise<number> {
    return eraseRowsComputedBy(this.#sql, entityKey, computedAtMs);
  }

  async compact(): Promise<void> {
    await this.#sql.compact?.();
  }

  entityRows(
    table: EntityTable,
    entityKey: EntityKey,
    joinKeys: JoinKeyValues,
    page: { readonly offset: number; readonly limit: number },
  ): Promise<readonly JsonObject[]> {
    return entityRows(this.#sql, table, { entityKey, joinKeys }, page);
  }

  readErasures(sinceMs: number): Promise<StoredErasures> {
    return readErasures(this.#sql, sinceMs);
  }

  writeErasure(erasure: Erasure): Promise<void> {
    return writeErasure(this.#sql, erasure);
  }

  markErasureApplied(erasure: Erasure): Promise<void> {
    return markErasureApplied(this.#sql, erasure);
  }

  isErasureApplied(fingerprint: string): Promise<boolean> {
    return isErasureApplied(this.#sql, fingerprint);
  }

  async drain(): Promise<void> {}

  stop(): Promise<void> {
    return this.#sql.close();
  }
}

/** `2026-11`, of each row's event time. */
function monthsOf(rows: readonly FeatureRow[]): ReadonlySet<string> {
  const days = new Set(rows.map(({ eventTime: at }) => Math.floor(at / DAY_MS)));
  return new Set([...days].map((day) => new Date(day * DAY_MS).toISOString().slice(0, 7)));
}

interface RowPage {
  readonly limit: number;
  /** The last row of the page before. */
  readonly after: FeatureRow | undefined;
}

interface StoredRow {
  readonly entity_key: EntityKey;
  readonly at: string;
  readonly computed: string;
  readonly values: Record<string, FeatureValue>;
}

const rowOf = ({ view, version }: ViewReference, row: StoredRow): FeatureRow => ({
  view,
  version,
  entityKey: row.entity_key,
  eventTime: eventTime(Number(row.at)),
  computedAt: processingTime(Number(row.computed)),
  values: row.values,
});
