import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { tableOf } from '#cli/history/training_table';
import { LocalFiles } from '#connectors/files/local_files';
import { emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featureApiConfigSchema } from '#feature_store/config';
import type { Feature } from '#feature_store/definitions/feature';
import { featureService, serviceOfView } from '#feature_store/definitions/feature_service';
import { inputReader, modelInputsOf } from '#feature_store/definitions/model_inputs';
import { columns } from '#feature_store/definitions/on_demand';
import { rowJson } from '#feature_store/definitions/values/encode_row';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { jsonOfValue } from '#feature_store/definitions/values/value_codec';
import type { EmbeddingSearch } from '#feature_store/offline/embedding_search';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { readParquet } from '#feature_store/offline/parquet_values';
import { exportRows, importRows } from '#feature_store/offline/row_files';
import type { OnlineStore } from '#feature_store/online/online_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { buildTrainingSet, readTrainingSet, writeTrainingSet } from '#feature_store/retrieval/training_set';
import { DAY_MS, eventTime, processingTime, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { nearView, readAll, TYPES, typedValues, typedView } from '../../support/definitions/typed_values.ts';
import { Duck } from '../../support/duckdb.ts';
import { testSimilaritySearch } from './similarity_search_contract.ts';

const HOUR_FROM = Date.UTC(2026, 10, 20);
const service = serviceOfView(typedView);
const files = new LocalFiles();

interface Stores {
  readonly online: OnlineStore;
  readonly offline: { readonly features: OfflineStore; readonly embeddings: EmbeddingSearch };
}

type Values = FeatureRow['values'];

/** What the stream makes of events with these values: of each the row at its time. State is saved and read between events. */
function computed(key: EntityKey, all: readonly Values[]): readonly FeatureRow[] {
  const computation = new ViewComputation(typedView, 0);
  let state = emptyEntityState();
  return all.map((values, at) => {
    const json = Object.entries(values).map(([name, value]) => [name, jsonOfValue(value)]);
    // As the gateway and a broker give it.
    const event = JSON.parse(JSON.stringify(Object.fromEntries(json))) as Values;
    const time = HOUR_FROM + at * DAY_MS;
    const row = computation.apply(state, event, time);
    state = deserialize(serialize(state)) as typeof state;
    return {
      ...{ view: typedView.view, version: typedView.version, entityKey: key, values: row },
      ...{ eventTime: eventTime(time), computedAt: processingTime(time + 1) },
    };
  });
}

/** What the rows have to hold, by a plain loop over the events' values. */
function expected(all: readonly Values[], at: number): Values {
  const known = all.slice(0, at + 1);
  const values: Record<string, FeatureValue> = {};
  for (const name of Object.keys(TYPES)) {
    const present = known.map((each) => each[name] as FeatureValue).filter((value) => value !== null);
    const times = (text: string): number => present.filter((value) => identity(value) === text).length;
    const ranked = [...new Map(present.map((value) => [identity(value), value]))].sort(
      ([a], [b]) => times(b) - times(a) || (a < b ? -1 : 1),
    );
    values[name] = all[at]?.[name] as FeatureValue;
    values[`last_2_${name}_7d`] = present.slice(-2).reverse();
    values[`first_${name}_7d`] = present[0] ?? null;
    values[`top_3_${name}_7d`] = ranked.slice(0, 3).map(([, value]) => value);
  }
  return values;
}

const identity = (value: FeatureValue): string =>
  typeof value === 'object' ? JSON.stringify(jsonOfValue(value)) : String(value);

const inOrder = (values: Values): Values =>
  Object.fromEntries(Object.keys(typedView.features).map((name) => [name, values[name] as FeatureValue]));

/** Every type through every path between an event and a model, compared exactly. */
export function describeValueTypes(name: string, open: () => Promise<Stores & { stop(): Promise<void> }>): void {
  describe(`${name}: values of every type`, () => {
    let stores: Stores & { stop(): Promise<void> };
    let api: HttpService;
    let duck: Duck;
    beforeAll(async () => {
      stores = await open();
      duck = await Duck.open();
      const features = new FeatureReader(
        { online: stores.online, clock: systemClock },
        { views: [typedView], services: [] },
      );
      const base = { clock: systemClock, log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
      api = await createFeatureApi(
        {
          ...base,
          store: stores.online,
          features,
          embeddings: stores.offline.embeddings,
          history: stores.offline.features,
          statistics: { list: async () => [] },
          views: [typedView, nearView],
        },
        featureApiConfigSchema.parse({}),
      );
    }, 120_000);
    afterAll(async () => {
      await api?.stop();
      duck?.close();
      await stores?.stop();
    });

    const throughAll = async (all: readonly Values[]): Promise<void> => {
      const id = randomUUID();
      const key = entityKeyFromId(typedView, id);
      const rows = computed(key, all);
      for (const [at, row] of rows.entries()) expect(row.values).toStrictEqual(expected(all, at));
      const newest = rows.at(-1) as FeatureRow;
      expect(readAll(JSON.parse(rowJson(newest)).values)).toStrictEqual(newest.values);
      await expectOnline(id, key, rows, newest);
      const range = { from: eventTime(HOUR_FROM), to: eventTime(HOUR_FROM + all.length * DAY_MS) };
      await expectOffline(key, rows, range);
      await expectTrainingSets(id, key, rows, range);
    };

    async function expectOnline(
      id: string,
      key: EntityKey,
      rows: readonly FeatureRow[],
      newest: FeatureRow,
    ): Promise<void> {
      const { online } = stores;
      await online.write(rows);
      expect(await online.read(typedView, [key])).toStrictEqual([newest]);
      const ofAll = (await api.app.inject({ url: `/features/${id}` })).json();
      const seen = Object.fromEntries(
        Object.entries<{ value: unknown }>(ofAll.features).map(([feature, { value }]) => [feature, value]),
      );
      expect(readAll(seen)).toStrictEqual(newest.values);
      const body = { service: 'typed@1', rows: [{ entity: id }] };
      const [vector] = (await api.app.inject({ method: 'POST', url: '/features/vector', payload: body })).json()
        .vectors;
      expect(readAll(vector.features)).toStrictEqual(newest.values);
      expect(vector.features).toEqual(seen);
      for (const feature of ['an_int64', 'vector', 'orders', 'some_bytes']) {
        const one = (await api.app.inject({ url: `/features/${id}/${feature}` })).json();
        expect(one.value).toEqual(seen[feature]);
      }
    }

    async function expectOffline(
      key: EntityKey,
      rows: readonly FeatureRow[],
      range: Parameters<typeof buildTrainingSet>[1]['range'],
    ): Promise<void> {
      const { features } = stores.offline;
      await features.write(rows);
      const page = { limit: 10_000, after: undefined };
      const own = async () =>
        (await features.rowsBetween(typedView, range, page)).filter((row) => row.entityKey === key);
      const held = async () => (await own()).map((row) => ({ ...row, values: inOrder(row.values) }));
      expect(await held()).toStrictEqual(rows);
      expect((await features.newestOf(typedView, [key]))[0]?.values).toEqual(rows.at(-1)?.values);
      const out = mkdtempSync(join(tmpdir(), 'typed-'));
      const target = { out, fileSystemOf: () => files };
      await exportRows(features, typedView, range, target);
      await features.eraseRowsComputedBy(key, Date.now());
      expect(await own()).toEqual([]);
      await importRows(features, typedView, { from: out, fileSystemOf: () => files });
      expect(await held()).toStrictEqual(rows);
    }

    async function expectTrainingSets(
      id: string,
      key: EntityKey,
      rows: readonly FeatureRow[],
      range: Parameters<typeof buildTrainingSet>[1]['range'],
    ): Promise<void> {
      const labels = rows.map((row, at) => ({
        labelId: `${id}-${at}`,
        entityKey: key,
        eventTime: row.eventTime,
        label: at % 2,
      }));
      const of = { service, range, labels: { source: 'typed' } };
      const { features } = stores.offline;
      const set = await buildTrainingSet(features, { ...of, format: 'parquet' }, labels);
      expect(set.rows.map(({ values }) => values)).toStrictEqual(rows.map(({ values }) => values));
      await expectHistorical(id, rows);
      const folder = mkdtempSync(join(tmpdir(), 'typed-set-'));
      await writeTrainingSet(folder, set);
      const path = join(folder, 'data.parquet');
      await expectParquet(path, rows);
      const csv = await buildTrainingSet(features, { ...of, format: 'csv' }, labels);
      const csvFolder = mkdtempSync(join(tmpdir(), 'typed-csv-'));
      await writeTrainingSet(csvFolder, csv);
      const read = await readTrainingSet(csvFolder);
      // CSV has one form for an empty string, no bytes, and what is missing.
      const emptied = (values: Values): Values =>
        Object.fromEntries(Object.entries(values).map(([feature, value]) => [feature, isEmpty(value) ? null : value]));
      expect(read.rows.map(({ values }) => values)).toStrictEqual(rows.map(({ values }) => emptied(values)));
      expectModelInputs(rows, labels);
    }

    /** The API has the same values, and none before the first row. */
    async function expectHistorical(id: string, rows: readonly FeatureRow[]): Promise<void> {
      const times = [HOUR_FROM - DAY_MS, ...rows.map((row) => row.eventTime)];
      const payload = {
        service: 'typed@1',
        rows: times.map((time) => ({ entity: id, timestamp: new Date(time).toISOString() })),
      };
      const answer = (await api.app.inject({ method: 'POST', url: '/features/historical', payload })).json();
      const at = (index: number): Readonly<Record<string, unknown>> =>
        Object.fromEntries(
          answer.columns.map((column: { name: string; values: unknown[] }) => [column.name, column.values[index]]),
        );
      expect(new Set(Object.values(at(0)))).toEqual(new Set([null]));
      expect(rows.map((_, index) => readAll(at(index + 1)))).toStrictEqual(rows.map(({ values }) => values));
    }

    async function expectParquet(path: string, rows: readonly FeatureRow[]): Promise<void> {
      const file = await files.open(path);
      const found: Values[] = [];
      for await (const group of readParquet(file)) found.push(...group.map(readAll));
      await file.close();
      expect(found).toStrictEqual(rows.map(({ values }) => values));
      // Another reader sees the same types and values.
      const described = await duck.query(
        `SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM '${path}')`,
      );
      const types = Object.fromEntries(described.map(({ name: column, type }) => [column as string, type]));
      expect(types).toMatchObject(DUCKDB_TYPES);
      const seen = await duck.query(
        `SELECT an_int64::VARCHAR AS an_int64, money::VARCHAR AS money, units::VARCHAR AS units, len(orders) AS orders FROM '${path}'`,
      );
      expect(seen).toEqual(
        rows.map(({ values: { an_int64: integer, money, units, orders } }) => ({
          ...{ an_int64: integer === null ? null : String(integer), money, units },
          orders: orders === null ? null : String((orders as readonly unknown[]).length),
        })),
      );
    }

    function expectModelInputs(rows: readonly FeatureRow[], labels: Parameters<typeof buildTrainingSet>[2]): void {
      const names = ['a_double', 'a_long', 'a_boolean', 'a_string', 'an_int64', 'a_timestamp', 'money', 'vector'];
      const { columns: inputs } = featureService({
        ...{ name: 'inputs', version: 1, owner: 'tests', description: 'd' },
        features: [columns(typedView, ...names)],
      });
      const set = rows.map((row, at) => ({ ...(labels[at] as (typeof labels)[number]), values: row.values }));
      const manifest = { columns: inputs, service: service.signature } as unknown as Parameters<
        typeof tableOf
      >[0]['manifest'];
      const table = tableOf({ manifest, rows: set });
      expect(table.columns.map((column) => `${column.name} ${column.type}`)).toEqual([
        ...['a_double double', 'a_long long', 'a_boolean boolean', 'a_string string', 'an_int64 double'],
        ...['a_timestamp double', 'money double', 'vector_0 double', 'vector_1 double', 'vector_2 double'],
      ]);
      const serve = inputReader(inputs) as NonNullable<ReturnType<typeof inputReader>>;
      for (const [at, { values }] of rows.entries()) {
        const vector = values.vector as Float32Array | null;
        const oracle = [
          ...[values.a_double, values.a_long, values.a_boolean, values.a_string],
          values.an_int64 === null ? null : Number(values.an_int64),
          values.a_timestamp === null ? null : secondsOf(values.a_timestamp as string),
          values.money === null ? null : Number(values.money),
          ...[0, 1, 2].map((index) => vector?.[index] ?? null),
        ];
        expect(table.rows[at]).toEqual(oracle);
        // A model that serves sees what it was trained on.
        expect(table.columns.map((column) => serve(values, column.name))).toEqual(oracle);
      }
    }

    test('event, stream, stores, API, files, training set and signature hold the same value', async () => {
      await fc.assert(fc.asyncProperty(fc.array(typedValues, { minLength: 1, maxLength: 4 }), throughAll), {
        numRuns: Number(process.env.TYPE_RUNS ?? 15),
        endOnFailure: true,
      });
    }, 240_000);

    testSimilaritySearch(() => stores.offline, { accuracy: 1e-6, smallest: 0 });

    test('POST /features/search answers for a vector and for an entity, and refuses what it cannot compare', async () => {
      const nowMs = Date.now();
      const rows = Object.entries({ a: [1, 0, 0], b: [0.9, 0.1, 0], c: [0, 1, 0] }).map(
        ([id, numbers]): FeatureRow => ({
          ...{
            view: nearView.name,
            version: 1,
            entityKey: entityKeyFromId(nearView, id),
            values: { near: Float32Array.from(numbers) },
          },
          ...{ eventTime: eventTime(nowMs - 1_000), computedAt: processingTime(nowMs) },
        }),
      );
      await stores.offline.features.write(rows);
      await stores.online.write(rows);
      const ask = async (payload: object) => {
        const answer = await api.app.inject({ method: 'POST', url: '/features/search', payload });
        return { status: answer.statusCode, body: answer.json() };
      };
      const of = { view: viewId(nearView), feature: 'near' };
      const { body } = await ask({ ...of, entity: 'a', k: 2 });
      expect(body).toMatchObject({ ...of, metric: 'cosine', entity: 'thing' });
      expect(body.results.map((each: { entity: string }) => each.entity)).toEqual(['b', 'c']);
      expect(body.results[1].distance).toBeCloseTo(1, 9);
      const l2 = await ask({ ...of, vector: [0, 1, 0], metric: 'l2', k: 1 });
      expect(l2.body.results).toMatchObject([{ entity: 'c', distance: 0 }]);
      expect((await ask({ ...of, vector: [0, 1] })).status).toBe(422);
      expect((await ask({ ...of, vector: [0, 1, 1e300] })).status).toBe(422);
      expect((await ask(of)).status).toBe(422);
      expect((await ask({ ...of, vector: [0, 1, 0], entity: 'a' })).status).toBe(422);
      expect((await ask({ ...of, entity: 'nothing is known of it' })).status).toBe(404);
      expect((await ask({ view: 'typed@1', feature: 'a_double', vector: [1] })).status).toBe(404);
      expect((await ask({ view: viewId(nearView), feature: '__proto__', vector: [1] })).status).toBe(404);
      expect((await ask({ ...of, vector: [0, 1, 0], k: 0 })).status).toBe(400);
    });

    test('a value of another definition is refused by name in training sets and exports, and left out elsewhere', async () => {
      const { features } = stores.offline;
      const id = randomUUID();
      const entityKey = entityKeyFromId(nearView, id);
      const at = eventTime(Date.UTC(2026, 9, 5));
      // As a release before lists wrote several values.
      const values = { near: 'a,b' };
      await features.write([
        { view: nearView.name, version: 1, entityKey, eventTime: at, computedAt: processingTime(at), values },
      ]);
      const message = new RegExp(
        `view ${viewId(nearView)} holds another type of feature "near" for thing:${id} at 2026-10-05T00:00:00.000Z: .*embedding\\(3\\), and the value is the string "a,b".*backfill`,
      );
      const query = { view: nearView };
      await expect(features.pointInTimeJoin([{ entityKey, eventTime: at }], query)).rejects.toThrow(message);
      const range = { from: at, to: eventTime(at + 1) };
      await expect(features.rowsBetween(nearView, range, { limit: 10, after: undefined })).rejects.toThrow(message);
      expect((await features.newestOf(nearView, [entityKey])).map((row) => row.values)).toEqual([{}]);
      await features.eraseRowsComputedBy(entityKey, at);
    });

    test('what no model takes is refused by name', () => {
      const refused = Object.entries<Feature>(typedView.features).map(([column, { type }]) => ({ name: column, type }));
      expect(() => modelInputsOf(refused)).toThrow(/column some_bytes is bytes.*column integers is a list/s);
    });
  });
}

const isEmpty = (value: FeatureValue): boolean => value === '' || (value instanceof Uint8Array && value.length === 0);

const secondsOf = (timestamp: string): number =>
  Number(BigInt(Date.parse(`${timestamp.slice(0, 19)}Z`)) * 1_000n + BigInt(timestamp.slice(20, 26))) / 1e6;

const DUCKDB_TYPES = {
  ...{ a_double: 'DOUBLE', a_long: 'BIGINT', a_boolean: 'BOOLEAN', a_string: 'VARCHAR', an_int64: 'BIGINT' },
  ...{ a_timestamp: 'TIMESTAMP WITH TIME ZONE', some_bytes: 'BLOB', money: 'DECIMAL(18,2)', units: 'DECIMAL(38,0)' },
  ...{ vector: 'FLOAT[]', integers: 'BIGINT[]', matrix: 'BIGINT[][]', prices: 'DECIMAL(9,4)[]' },
  profile: 'STRUCT(vector FLOAT[], tags VARCHAR[], score DOUBLE, visits BIGINT)',
};
