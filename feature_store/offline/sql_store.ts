import { copyText } from '#connectors/postgres/copy_in';
import { upsertStatement } from '#connectors/postgres/upsert';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { storedValuesOf } from '#feature_store/definitions/stored_values';
import { storedJson } from '#feature_store/definitions/values/encode_row';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import {
  type FeatureRow,
  type FeatureValue,
  type ViewReference,
  viewId,
} from '#feature_store/definitions/values/feature_row';
import { DAY_MS, eventTime, isoTime, processingTime } from '#kernel/time';
import type { MonthPartitions } from '../database/month_partitions.ts';
import type { SqlDatabase } from '../database/sql_database.ts';
import type { SqlExecutor } from '../database/sql_executor.ts';
import { OfflineStoreError, StoredValueError } from '../errors.ts';
import type {
  BackfillSettlement,
  Moment,
  OfflineStore,
  PointInTimeQuery,
  RowPage,
  RowWriter,
  TimeRange,
} from './offline_store.ts';
import { pointInTimeJoin } from './point_in_time_join.ts';
import { EmbeddingWriter } from './sql_embeddings.ts';

const ROWS_A_STATEMENT = 500;
const SAMPLED_FOR_EACH = 50;

const ROW_COLUMNS = ['view', 'version', 'entity_key', 'event_time', 'computed_at', 'values', 'backfill'];
const UPSERT_ROWS = upsertStatement({
  table: 'feature_rows',
  columns: ROW_COLUMNS,
  key: ['view', 'version', 'entity_key', 'event_time'],
  source: `(SELECT each_row.*, $7::text AS backfill FROM ROWS FROM (
    unnest($1::text[]), unnest($2::integer[]), unnest($3::text[]), unnest($4::timestamptz[]), unnest($5::timestamptz[]),
    jsonb_array_elements($6::jsonb)
  ) AS each_row(view, version, entity_key, event_time, computed_at, "values"))`,
  replace: { unlessNewer: 'computed_at' },
  // Repeating a value does not change when it became known.
  unlessEqual: 'values',
  writer: 'backfill',
});

const COPY_ROWS = `COPY feature_rows (${ROW_COLUMNS.map((column) => `"${column}"`).join(', ')}) FROM STDIN`;
/** A statement of COPY costs less than its rows. */
const ROWS_A_COPY = 1_000;
const UNIQUE_VIOLATION = '23505';
/** After a copy that was refused, so many batches at most are upserted before the next attempt. */
const MOST_UPSERTS = 64;

/** The values of the named features of a row, of which `row` holds all. @param names - a parameter of the statement */
const partOf = (row: string, names: string): string =>
  `(SELECT jsonb_object_agg(name, COALESCE(${row}."values" -> name, 'null')) FROM unnest(${names}::text[]) AS name)`;
const MERGED = `held."values" || ${partOf('excluded', '$8')}`;
/** When a row is computed that differs from one that was there: each of its revisions has a time of its own. */
const computedAfter = (computedAt: string, held: string): string =>
  `GREATEST(${computedAt}, ${held}.computed_at + interval '1 millisecond')`;
/** A row that is new has the other features as of its time. */
const UPSERT_FEATURES = `INSERT INTO feature_rows AS held (view, version, entity_key, event_time, computed_at, "values", backfill)
  SELECT sent.view, sent.version, sent.entity_key, sent.event_time, sent.computed_at,
    COALESCE((
      SELECT r."values" FROM feature_rows r
      WHERE r.view = sent.view AND r.version = sent.version AND r.entity_key = sent.entity_key AND r.event_time <= sent.event_time
      ORDER BY r.event_time DESC LIMIT 1
    ), sent."values") || ${partOf('sent', '$8')}, $7::text
  FROM ROWS FROM (
    unnest($1::text[]), unnest($2::integer[]), unnest($3::text[]), unnest($4::timestamptz[]), unnest($5::timestamptz[]),
    jsonb_array_elements($6::jsonb)
  ) AS sent(view, version, entity_key, event_time, computed_at, "values")
  ORDER BY sent.view, sent.version, sent.entity_key, sent.event_time
  ON CONFLICT (view, version, entity_key, event_time) DO UPDATE
  SET "values" = ${MERGED}, backfill = excluded.backfill,
    computed_at = CASE WHEN held."values" IS DISTINCT FROM ${MERGED} THEN ${computedAfter('excluded.computed_at', 'held')} ELSE held.computed_at END
  WHERE held."values" IS DISTINCT FROM ${MERGED} OR held.backfill IS DISTINCT FROM excluded.backfill`;

/** Rows of a view ($1, $2) that were computed since ($3) and not by a back-fill ($4), with what it has computed for their time or, without that, as of it. Before its first of an entity it has nothing to say, unless it has read all events since ($6). */
const STRAY_ROWS = `SELECT r.entity_key, r.event_time, revision."values" AS replaced, before."values" AS before
  FROM feature_rows r
  LEFT JOIN LATERAL (
    SELECT v."values" FROM feature_row_revisions v
    WHERE v.view = $1 AND v.version = $2 AND v.entity_key = r.entity_key AND v.event_time = r.event_time AND v.backfill = $4
    ORDER BY v.computed_at DESC LIMIT 1
  ) revision ON true
  LEFT JOIN LATERAL (
    SELECT b."values" FROM feature_rows b
    WHERE b.view = $1 AND b.version = $2 AND b.entity_key = r.entity_key AND b.event_time < r.event_time AND b.backfill = $4
    ORDER BY b.event_time DESC LIMIT 1
  ) before ON true
  WHERE r.view = $1 AND r.version = $2 AND r.computed_at >= $3 AND r.backfill IS DISTINCT FROM $4
    AND (COALESCE(revision."values", before."values") IS NOT NULL OR r.event_time >= $6)`;
const IS_STRAY = `held.view = $1 AND held.version = $2 AND held.entity_key = stray.entity_key AND held.event_time = stray.event_time`;
/** Its rows that the stream has replaced are as it computed them again; rows at other times are removed. */
const SETTLE_ROWS = `WITH stray AS MATERIALIZED (${STRAY_ROWS}),
  restored AS (
    UPDATE feature_rows held SET "values" = stray.replaced, backfill = $4, computed_at = ${computedAfter('$5', 'held')}
    FROM stray WHERE ${IS_STRAY} AND stray.replaced IS NOT NULL
    RETURNING 1
  ), removed AS (
    DELETE FROM feature_rows held USING stray WHERE ${IS_STRAY} AND stray.replaced IS NULL
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM restored)::integer + (SELECT count(*) FROM removed)::integer AS n`;
const SETTLED = `held."values" || ${partOf('part', '$7')}`;
const SETTLE_FEATURES = `WITH stray AS MATERIALIZED (${STRAY_ROWS}),
  settled AS (
    UPDATE feature_rows held SET "values" = ${SETTLED}, computed_at = ${computedAfter('$5', 'held')}
    FROM stray, LATERAL (SELECT COALESCE(stray.replaced, stray.before) AS "values") part
    WHERE ${IS_STRAY} AND held."values" IS DISTINCT FROM ${SETTLED}
    RETURNING 1
  )
  SELECT count(*)::integer AS n FROM settled`;

/** The offline store in SQL; the same statements on a PostgreSQL server and on PGlite. */
export class SqlOfflineStore implements OfflineStore {
  readonly #sql: SqlExecutor;
  readonly #partitions: MonthPartitions;
  readonly #views: ReadonlyMap<string, FeatureView>;
  readonly #embeddings: EmbeddingWriter | undefined;
  /** How many batches are upserted before one is copied again, and how many were the last time. */
  #upsertsLeft = 0;
  #upserts = 0;

  /** @param database - `views`: those that are defined; values of others are given in their JSON form */
  constructor({ sql, partitions, views }: Pick<SqlDatabase, 'sql' | 'partitions' | 'views'>) {
    this.#sql = sql;
    this.#partitions = partitions;
    this.#views = new Map(views.map((view) => [viewId(view), view]));
    this.#embeddings = EmbeddingWriter.of(sql, views);
  }

  write(rows: readonly FeatureRow[], { backfill }: RowWriter = {}): Promise<void> {
    const most = this.#sql.copy === undefined ? ROWS_A_STATEMENT : ROWS_A_COPY;
    return this.#writeRows(rows, most, (batch) => this.#copyOrUpsert(batch, backfill));
  }

  writeFeatures(rows: readonly FeatureRow[], names: readonly string[], { backfill }: RowWriter = {}): Promise<void> {
    const more = [backfill ?? null, names];
    return this.#writeRows(rows, ROWS_A_STATEMENT, (batch) => this.#upsert(batch, UPSERT_FEATURES, more), names);
  }

  async settleBackfill(
    { view, version }: ViewReference,
    { backfill, sinceMs, computedAt, features, completeSinceMs = Number.POSITIVE_INFINITY }: BackfillSettlement,
  ): Promise<number> {
    const complete = Number.isFinite(completeSinceMs) ? isoTime(eventTime(completeSinceMs)) : `${completeSinceMs}`;
    const since = isoTime(processingTime(sinceMs));
    const parameters = [view, version, since, backfill, isoTime(computedAt), complete];
    const [done] = await (features === undefined
      ? this.#sql.query<{ readonly n: number }>(SETTLE_ROWS, parameters)
      : this.#sql.query<{ readonly n: number }>(SETTLE_FEATURES, [...parameters, features]));
    return done?.n ?? 0;
  }

  async #writeRows(
    rows: readonly FeatureRow[],
    most: number,
    writeBatch: (batch: readonly FeatureRow[]) => Promise<void>,
    names?: readonly string[],
  ): Promise<void> {
    await this.#partitions.ensureMonthsOf(rows);
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
    for (let start = 0; start < list.length; start += most) batches.push(list.slice(start, start + most));
    // Side by side, as far as there are connections: no two touch the same row.
    await Promise.all(batches.map(writeBatch));
    await this.#embeddings?.write(list, names);
  }

  /** Most rows are new, and COPY costs the server less. A row whose key is there refuses its batch, which is upserted then; so are the next ones, where history is written again. */
  async #copyOrUpsert(batch: readonly FeatureRow[], backfill: string | undefined): Promise<void> {
    if (this.#sql.copy !== undefined && this.#upsertsLeft === 0) {
      try {
        await this.#sql.copy(COPY_ROWS, copiedRows(batch, backfill));
        this.#upserts = 0;
        return;
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        this.#upserts = Math.min(MOST_UPSERTS, 2 * this.#upserts + 1);
        this.#upsertsLeft = this.#upserts;
      }
    } else if (this.#upsertsLeft > 0) this.#upsertsLeft -= 1;
    await this.#upsert(batch, UPSERT_ROWS, [backfill ?? null]);
  }

  async #upsert(batch: readonly FeatureRow[], statement: string, more: readonly unknown[]): Promise<void> {
    await this.#sql.query(statement, [
      batch.map(({ view }) => view),
      batch.map(({ version }) => version),
      batch.map(({ entityKey }) => entityKey),
      batch.map(({ eventTime: at }) => isoTime(at)),
      batch.map(({ computedAt }) => isoTime(computedAt)),
      `[${batch.map(storedJson).join(',')}]`,
      ...more,
    ]);
  }

  async pointInTimeJoin(moments: readonly Moment[], query: PointInTimeQuery) {
    const found = await pointInTimeJoin(this.#sql, moments, query);
    const view = this.#views.get(viewId(query.view));
    if (view === undefined) return found;
    const read = storedValuesOf(view);
    return found.map((values, index) => {
      const { entityKey, eventTime: at } = moments[index] as Moment;
      return values === undefined ? undefined : read(values, refusalOf(view, { entityKey, eventTime: at }));
    });
  }

  /** @param refuses - throws for a value of another type than declared now; it is left out otherwise */
  #rowOf(of: ViewReference, row: StoredRow, refuses = false): FeatureRow {
    const view = this.#views.get(viewId(of));
    const read = rowOf(of, row);
    if (view === undefined) return read;
    const values = storedValuesOf(view)(read.values, refuses ? refusalOf(view, read) : undefined);
    return values === read.values ? read : { ...read, values };
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
    return rows.map((row) => this.#rowOf(view, row));
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
    return rows.map((row) => this.#rowOf(view, row));
  }

  async newestBy(view: ViewReference, { entityKey, eventTime: at }: Moment): Promise<FeatureRow | undefined> {
    const [row] = await this.#sql.query<StoredRow>(
      `SELECT entity_key, (extract(epoch FROM event_time) * 1000)::bigint::text AS at,
              (extract(epoch FROM computed_at) * 1000)::bigint::text AS computed, "values"
       FROM feature_rows
       WHERE view = $1 AND version = $2 AND entity_key = $3 AND event_time <= $4
       ORDER BY event_time DESC LIMIT 1`,
      [view.view, view.version, entityKey, new Date(at)],
    );
    return row === undefined ? undefined : this.#rowOf(view, row);
  }

  async rowsComputedSince(view: ViewReference, sinceMs: number, page: RowPage): Promise<readonly FeatureRow[]> {
    // Older months need not be looked at.
    return this.#page(view, 'event_time >= $3 AND computed_at >= $4', [sinceMs - 2 * DAY_MS, sinceMs], page);
  }

  async rowsBetween(view: ViewReference, range: TimeRange, page: RowPage): Promise<readonly FeatureRow[]> {
    return this.#page(view, 'event_time >= $3 AND event_time < $4', [range.from, range.to], page, true);
  }

  /** Rows of a view by entity and time. @param times - SQL about $3 and $4, two times in ms */
  async #page(
    view: ViewReference,
    times: string,
    [first, second]: readonly [number, number],
    { limit, after }: RowPage,
    refuses = false,
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
    return rows.map((row) => this.#rowOf(view, row, refuses));
  }

  async eraseRowsComputedBy(key: EntityKey, computedAtMs: number): Promise<number> {
    const [found] = await this.#sql.query<{ n: number }>(
      `WITH gone AS (DELETE FROM feature_rows WHERE entity_key = $1 AND computed_at <= $2 RETURNING 1),
          revised AS (DELETE FROM feature_row_revisions WHERE entity_key = $1 AND computed_at <= $2),
          near AS (DELETE FROM feature_embeddings WHERE entity_key = $1 AND computed_at <= $2)
     SELECT count(*)::integer AS n FROM gone`,
      [key, new Date(computedAtMs)],
    );
    return found?.n ?? 0;
  }
}

const isUniqueViolation = (error: unknown): boolean =>
  error instanceof OfflineStoreError && (error.cause as { readonly code?: unknown }).code === UNIQUE_VIOLATION;

function copiedRows(batch: readonly FeatureRow[], backfill: string | undefined): string {
  const writer = backfill === undefined ? '\\N' : copyText(backfill);
  let text = '';
  for (const row of batch) {
    const { view, version, entityKey, eventTime: at, computedAt } = row;
    const key = `${copyText(view)}\t${version}\t${copyText(entityKey)}`;
    text += `${key}\t${isoTime(at)}\t${isoTime(computedAt)}\t${copyText(storedJson(row))}\t${writer}\n`;
  }
  return text;
}

const refusalOf =
  (view: FeatureView, { entityKey, eventTime: at }: Moment) =>
  (feature: string, error: Error): never => {
    throw new StoredValueError(viewId(view), feature, { entityKey, time: isoTime(at) }, error);
  };

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
