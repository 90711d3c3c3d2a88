import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue, listValue } from '@duckdb/node-api';
import {
  type BackfillSettlement,
  DAY_MS,
  defineOfflineStore,
  type EntityKey,
  type FeatureRow,
  type FeatureValue,
  type Moment,
  type OfflineStoreDeps,
  type OwnOfflineStore,
  type PointInTimeQuery,
  type RowPage,
  type RowWriter,
  storedJson,
  storedValuesOf,
  type TimeRange,
  type ViewReference,
} from 'headwater/features';
import { z } from 'zod';

// The history of feature rows in a file of DuckDB: a table of rows, and one of what rows held before.

type Values = Readonly<Record<string, FeatureValue>>;

/** A row as a table has it. */
interface Stored {
  readonly view: string;
  readonly version: number;
  readonly entity_key: EntityKey;
  readonly event_time: number;
  readonly computed_at: number;
  /** JSON. */
  readonly vals: string;
  /** The back-fill that has written it; null: the stream. */
  readonly backfill: string | null;
}

const TABLE = `(view VARCHAR, version INTEGER, entity_key VARCHAR, event_time BIGINT, computed_at BIGINT, vals VARCHAR, backfill VARCHAR`;
const SCHEMA = `CREATE TABLE IF NOT EXISTS rows ${TABLE}, PRIMARY KEY (view, version, entity_key, event_time));
  CREATE TABLE IF NOT EXISTS revisions ${TABLE})`;
const COLUMNS = `view, version, entity_key, event_time::DOUBLE AS event_time, computed_at::DOUBLE AS computed_at, vals, backfill`;
const OF_VIEW = 'view = $view AND version = $version';
const TWO_DAYS = 2 * DAY_MS;

const keyOf = (row: Pick<Stored, 'view' | 'version' | 'entity_key' | 'event_time'>): string =>
  JSON.stringify([row.view, row.version, row.entity_key, row.event_time]);
const parse = (vals: string): Values => JSON.parse(vals) as Values;
/** Names in one order, so that equal values are equal strings. */
const jsonOf = (values: Values): string => JSON.stringify(Object.fromEntries(Object.entries(values).sort()));
const chosen = (values: Values, names: readonly string[]): Values =>
  Object.fromEntries(names.map((name) => [name, values[name] ?? null]));

class DuckDbStore implements OwnOfflineStore {
  readonly kind = 'duckdb';
  readonly name = 'the DuckDB store';
  readonly #file: string;
  readonly #readers: ReadonlyMap<string, ReturnType<typeof storedValuesOf>>;
  #instance: DuckDBInstance | undefined;
  #connection: DuckDBConnection | undefined;
  /** Work on the one connection, in turn. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ views }: OfflineStoreDeps, file: string) {
    this.#file = file;
    this.#readers = new Map(views.map((view) => [`${view.name}@${view.version}`, storedValuesOf(view)]));
  }

  async start(): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    this.#instance = await DuckDBInstance.create(this.#file);
    this.#connection = await this.#instance.connect();
    await this.#connection.run(SCHEMA);
  }

  async drain(): Promise<void> {
    await this.#turn;
  }

  async stop(): Promise<void> {
    await this.#turn;
    this.#connection?.closeSync();
    this.#instance?.closeSync();
    [this.#connection, this.#instance] = [undefined, undefined];
  }

  async checkHealth(): Promise<void> {
    await this.#read('SELECT 1', {});
  }

  write(rows: readonly FeatureRow[], { backfill = null as string | null } = {}): Promise<void> {
    return this.#change(async () => {
      const unique = newest(rows.map((row) => storedOf(row, backfill)));
      const held = await this.#heldAt(unique);
      await this.#put(
        unique.flatMap((row): readonly Change[] => {
          const before = held.get(keyOf(row));
          if (before === undefined) return [{ row, before }];
          const isOthers = backfill !== null && before.backfill !== backfill;
          if (before.computed_at > row.computed_at && !isOthers) return [];
          if (before.vals !== row.vals) return [{ row, before }];
          return isOthers ? [{ row: { ...before, backfill }, before }] : [];
        }),
      );
    });
  }

  writeFeatures(rows: readonly FeatureRow[], names: readonly string[], writer: RowWriter = {}): Promise<void> {
    const { backfill = null as string | null } = writer;
    return this.#change(async () => {
      const unique = newest(rows.map((row) => storedOf(row, backfill)));
      const held = await this.#heldAt(unique);
      const changes: Change[] = [];
      for (const row of unique) {
        const part = chosen(parse(row.vals), names);
        const before = held.get(keyOf(row));
        if (before === undefined) {
          const base = (await this.#newestAt(row)) ?? row;
          changes.push({ row: { ...row, vals: jsonOf({ ...parse(base.vals), ...part }) }, before });
          continue;
        }
        const vals = jsonOf({ ...parse(before.vals), ...part });
        const computed = vals === before.vals ? before.computed_at : Math.max(row.computed_at, before.computed_at + 1);
        changes.push({ row: { ...before, vals, backfill, computed_at: computed }, before });
      }
      await this.#put(changes);
    });
  }

  settleBackfill({ view, version }: ViewReference, settlement: BackfillSettlement): Promise<number> {
    const { backfill, sinceMs, computedAt, features, completeSinceMs = Number.POSITIVE_INFINITY } = settlement;
    return this.#change(async () => {
      const of = { view, version, backfill, since: sinceMs };
      const stray = await this.#select<Stored & { replaced: string | null; earlier: string | null }>(
        `SELECT ${COLUMNS},
           (SELECT arg_max(v.vals, v.computed_at) FROM revisions v WHERE v.view = r.view AND v.version = r.version
              AND v.entity_key = r.entity_key AND v.event_time = r.event_time AND v.backfill = $backfill) AS replaced,
           (SELECT arg_max(b.vals, b.event_time) FROM rows b WHERE b.view = r.view AND b.version = r.version
              AND b.entity_key = r.entity_key AND b.event_time < r.event_time AND b.backfill = $backfill) AS earlier
         FROM rows r WHERE ${OF_VIEW} AND computed_at >= $since AND backfill IS DISTINCT FROM $backfill`,
        of,
      );
      const changes: Change[] = [];
      for (const { replaced, earlier, ...before } of stray) {
        if (replaced === null && earlier === null && before.event_time < completeSinceMs) continue;
        const computed = Math.max(computedAt, before.computed_at + 1);
        if (features !== undefined) {
          const vals = jsonOf({ ...parse(before.vals), ...chosen(parse(replaced ?? earlier ?? '{}'), features) });
          if (vals !== before.vals) changes.push({ row: { ...before, vals, computed_at: computed }, before });
        } else if (replaced === null) changes.push({ row: undefined, before });
        else changes.push({ row: { ...before, vals: replaced, backfill, computed_at: computed }, before });
      }
      await this.#put(changes);
      return changes.length;
    });
  }

  async pointInTimeJoin(
    moments: readonly Moment[],
    { view, ttlMs = 0, knownBy, knownAtMoment = false }: PointInTimeQuery,
  ): Promise<readonly (Values | undefined)[]> {
    const found = new Array<Values | undefined>(moments.length).fill(undefined);
    if (moments.length === 0) return found;
    const isAsKnown = knownBy !== undefined || knownAtMoment;
    const source = isAsKnown ? '(FROM rows UNION ALL FROM revisions)' : 'rows';
    const rows = await this.#read<{ readonly place: number; readonly vals: string }>(
      `WITH moments AS (SELECT unnest($keys) AS entity_key, unnest($times) AS at, unnest(range(len($keys)))::DOUBLE AS place)
       SELECT m.place, r.vals FROM moments m JOIN ${source} r
         ON r.entity_key = m.entity_key AND r.event_time <= m.at AND ($ttl = 0 OR r.event_time >= m.at - $ttl)
           AND r.computed_at <= $known AND (NOT $at_moment OR r.computed_at <= m.at)
       WHERE r.view = $view AND r.version = $version
       QUALIFY row_number() OVER (PARTITION BY m.place ORDER BY r.event_time DESC, r.computed_at DESC) = 1`,
      {
        ...{ view: view.view, version: view.version, keys: listValue(moments.map(({ entityKey }) => entityKey)) },
        ...{
          times: listValue(moments.map(({ eventTime }) => BigInt(eventTime))),
          ttl: ttlMs,
          at_moment: knownAtMoment,
        },
        known: knownBy ?? Number.MAX_SAFE_INTEGER,
      },
    );
    const read = this.#readerOf(view);
    for (const { place, vals } of rows) found[place] = read(parse(vals));
    return found;
  }

  async countRows({ view, version }: ViewReference): Promise<number> {
    const [row] = await this.#read<{ n: number }>(`SELECT count(*)::DOUBLE AS n FROM rows WHERE ${OF_VIEW}`, {
      ...{ view, version },
    });
    return row?.n ?? 0;
  }

  async timesOf({ view, version }: ViewReference) {
    const [row] = await this.#read<{ oldest: number | null; newest: number | null }>(
      `SELECT min(event_time)::DOUBLE AS oldest, max(event_time)::DOUBLE AS newest FROM rows WHERE ${OF_VIEW}`,
      { view, version },
    );
    if (row === undefined || row.oldest === null || row.newest === null) return undefined;
    type Time = FeatureRow['eventTime'];
    return { oldest: row.oldest as Time, newest: row.newest as Time };
  }

  newestRows(view: ViewReference, { after = '' as EntityKey, limit }: { after?: EntityKey; limit: number }) {
    return this.#rows(
      view,
      'entity_key > $after QUALIFY row_number() OVER (PARTITION BY entity_key ORDER BY rows.event_time DESC) = 1 ORDER BY entity_key LIMIT $limit',
      { after, limit },
    );
  }

  newestOf(view: ViewReference, entityKeys: readonly EntityKey[]) {
    if (entityKeys.length === 0) return Promise.resolve([]);
    return this.#rows(
      view,
      'list_contains($keys, entity_key) QUALIFY row_number() OVER (PARTITION BY entity_key ORDER BY rows.event_time DESC) = 1',
      {
        keys: listValue([...entityKeys]),
      },
    );
  }

  async newestBy(view: ViewReference, { entityKey, eventTime }: Moment): Promise<FeatureRow | undefined> {
    const at = { key: entityKey, at: eventTime };
    return (
      await this.#rows(view, 'entity_key = $key AND rows.event_time <= $at ORDER BY rows.event_time DESC LIMIT 1', at)
    )[0];
  }

  async sampleEntities({ view, version }: ViewReference, most: number): Promise<readonly EntityKey[]> {
    const rows = await this.#read<{ entity_key: EntityKey }>(
      `SELECT entity_key FROM (SELECT DISTINCT entity_key FROM rows WHERE ${OF_VIEW}) ORDER BY random() LIMIT $most`,
      { view, version, most },
    );
    return rows.map(({ entity_key: key }) => key);
  }

  rowsComputedSince(view: ViewReference, sinceMs: number, page: RowPage): Promise<readonly FeatureRow[]> {
    const of = { since: sinceMs, oldest: sinceMs - TWO_DAYS };
    return this.#page(view, 'rows.computed_at >= $since AND rows.event_time >= $oldest', of, page);
  }

  rowsBetween(view: ViewReference, { from, to }: TimeRange, page: RowPage): Promise<readonly FeatureRow[]> {
    return this.#page(view, 'rows.event_time >= $from AND rows.event_time < $to', { from, to }, page);
  }

  eraseRowsComputedBy(entityKey: EntityKey, computedAtMs: number): Promise<number> {
    return this.#delete('entity_key = $key AND computed_at <= $at', { key: entityKey, at: computedAtMs });
  }

  async deleteBefore(time: number, dryRun: boolean): Promise<number> {
    const of = { time };
    if (!dryRun) return this.#delete('event_time < $time', of);
    const [row] = await this.#read<{ n: number }>(
      'SELECT count(*)::DOUBLE AS n FROM rows WHERE event_time < $time',
      of,
    );
    return row?.n ?? 0;
  }

  async rowsOf(key: EntityKey, kind: 'rows' | 'revisions', { offset, limit }: { offset: number; limit: number }) {
    const rows = await this.#read<Stored>(
      `SELECT ${COLUMNS} FROM ${kind} WHERE entity_key = $key
       ORDER BY view, version, ${kind}.event_time, ${kind}.computed_at LIMIT $limit OFFSET $offset`,
      { key, offset, limit },
    );
    return rows.map((row) => this.#rowOf(row));
  }

  #page(view: ViewReference, condition: string, of: Named, { limit, after }: RowPage) {
    const from = after === undefined ? { key: '', at: 0 } : { key: after.entityKey, at: after.eventTime };
    return this.#rows(
      view,
      `${condition} AND (entity_key, rows.event_time) > ($key, $at::BIGINT) ORDER BY entity_key, rows.event_time LIMIT $limit`,
      { ...of, ...from, limit },
    );
  }

  async #rows({ view, version }: ViewReference, rest: string, of: Named): Promise<readonly FeatureRow[]> {
    const sql = `SELECT ${COLUMNS} FROM rows WHERE ${OF_VIEW} AND ${rest}`;
    return (await this.#read<Stored>(sql, { view, version, ...of })).map((row) => this.#rowOf(row));
  }

  #readerOf({ view, version }: ViewReference): (values: Values) => Values {
    return this.#readers.get(`${view}@${version}`) ?? ((values) => values);
  }

  #rowOf({ view, version, entity_key: entityKey, event_time, computed_at, vals }: Stored): FeatureRow {
    const times = {
      eventTime: event_time as FeatureRow['eventTime'],
      computedAt: computed_at as FeatureRow['computedAt'],
    };
    return { view, version, entityKey, ...times, values: this.#readerOf({ view, version })(parse(vals)) };
  }

  async #heldAt(rows: readonly Stored[]): Promise<ReadonlyMap<string, Stored>> {
    if (rows.length === 0) return new Map();
    const held = await this.#select<Stored>(
      `WITH keys AS (SELECT unnest($views) AS view, unnest($versions) AS version, unnest($keys) AS entity_key, unnest($times) AS event_time)
       SELECT ${COLUMNS} FROM rows SEMI JOIN keys USING (view, version, entity_key, event_time)`,
      {
        ...{ views: listValue(rows.map(({ view }) => view)), versions: listValue(rows.map((row) => row.version)) },
        keys: listValue(rows.map((row) => row.entity_key)),
        times: listValue(rows.map((row) => BigInt(row.event_time))),
      },
    );
    return new Map(held.map((row) => [keyOf(row), row]));
  }

  async #newestAt({ view, version, entity_key: key, event_time: at }: Stored): Promise<Stored | undefined> {
    const sql = `SELECT ${COLUMNS} FROM rows WHERE ${OF_VIEW} AND entity_key = $key AND rows.event_time <= $at ORDER BY rows.event_time DESC LIMIT 1`;
    return (await this.#select<Stored>(sql, { view, version, key, at }))[0];
  }

  /** Writes rows; what they held before, computed at another time, becomes a revision. */
  async #put(changes: readonly Change[]): Promise<void> {
    const replaced = changes.flatMap(({ row, before }) => {
      const isRevised = before !== undefined && row !== undefined;
      return isRevised && before.vals !== row.vals && before.computed_at !== row.computed_at ? [before] : [];
    });
    await this.#insert('INTO revisions', replaced);
    await this.#insert(
      'OR REPLACE INTO rows',
      changes.flatMap(({ row }) => row ?? []),
    );
    for (const { row, before } of changes) {
      if (row !== undefined || before === undefined) continue;
      const { view, version, entity_key: key, event_time: at } = before;
      await this.#select(`DELETE FROM rows WHERE ${OF_VIEW} AND entity_key = $key AND event_time = $at`, {
        ...{ view, version, key, at },
      });
    }
  }

  async #insert(into: string, rows: readonly Stored[]): Promise<void> {
    if (rows.length === 0) return;
    await this.#select(
      `INSERT ${into} SELECT unnest(from_json($rows, '[{"view":"VARCHAR","version":"INTEGER","entity_key":"VARCHAR","event_time":"BIGINT","computed_at":"BIGINT","vals":"VARCHAR","backfill":"VARCHAR"}]'), recursive := true)`,
      { rows: JSON.stringify(rows) },
    );
  }

  #delete(condition: string, of: Named): Promise<number> {
    return this.#change(async () => {
      await this.#select(`DELETE FROM revisions WHERE ${condition}`, of);
      return (await this.#select(`DELETE FROM rows WHERE ${condition} RETURNING 1`, of)).length;
    });
  }

  #read<Row extends object>(sql: string, of: Named): Promise<readonly Row[]> {
    return this.#inTurn(() => this.#select<Row>(sql, of));
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      await this.#select('BEGIN', {});
      try {
        const result = await work();
        await this.#select('COMMIT', {});
        return result;
      } catch (error) {
        await this.#select('ROLLBACK', {});
        throw error;
      }
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #select<Row extends object>(sql: string, of: Named): Promise<readonly Row[]> {
    if (this.#connection === undefined) throw new Error(`${this.name} is stopped`);
    const reader = await this.#connection.runAndReadAll(sql, { ...of });
    return reader.getRowObjectsJS() as unknown as readonly Row[];
  }
}

type Named = Readonly<Record<string, DuckDBValue>>;

interface Change {
  /** Undefined: it is removed. */
  readonly row: Stored | undefined;
  readonly before: Stored | undefined;
}

const storedOf = (row: FeatureRow, backfill: string | null): Stored => ({
  ...{ view: row.view, version: row.version, entity_key: row.entityKey, backfill },
  ...{ event_time: row.eventTime, computed_at: row.computedAt, vals: jsonOf(parse(storedJson(row))) },
});

/** Of rows with one key the newest, or the last. */
function newest(rows: readonly Stored[]): readonly Stored[] {
  const unique = new Map<string, Stored>();
  for (const row of rows) {
    const held = unique.get(keyOf(row));
    if (held === undefined || held.computed_at <= row.computed_at) unique.set(keyOf(row), row);
  }
  return [...unique.values()];
}

export const duckdb = defineOfflineStore({
  name: 'duckdb',
  settings: z.strictObject({ file: z.string().min(1) }),
  create: (deps, { file }) => new DuckDbStore(deps, file),
});
