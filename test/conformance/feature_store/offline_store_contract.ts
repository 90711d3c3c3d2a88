import { randomUUID } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { createFileSystems } from '#connectors/files/file_systems';
import { fraudView } from '#examples/fraud/features/fraud';
import { emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { checkDefinitions } from '#feature_store/definition_store/check_definitions';
import { count } from '#feature_store/definitions/aggregations';
import { type ViewData, viewData } from '#feature_store/definitions/definition_data';
import { field } from '#feature_store/definitions/feature';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import { exportRows, importRows } from '#feature_store/offline/row_files';
import { offlineFeaturesContract } from '#feature_store/testing/offline_store_contract';
import { DAY_MS, eventTime, HOUR_MS, processingTime } from '#kernel/time';
import type { Outcome } from '#pipelines/transforms/online/checkpoint_store';
import { feedbackLabels } from '#serving/prediction_store/feedback_labels';
import type { PredictionPosition } from '#serving/prediction_store/prediction_store';
import { testView } from '../../support/definitions/test_view.ts';
import { keyOf } from '../../support/entity_keys.ts';

const START = Date.UTC(2026, 4, 30);
const at = (hours: number) => eventTime(START + hours * HOUR_MS);

/** What every offline store must do. */
export function describeOfflineStore(name: string, open: () => Promise<OfflineDatabase>): void {
  describe(`${name} keeps the contract of an offline store`, () => {
    let store: OfflineDatabase;
    beforeAll(async () => {
      store = await open();
    }, 180_000);
    afterAll(() => store.stop());

    for (const { name: each, timeoutMs, run } of offlineFeaturesContract(async () => store.features))
      test(each, run, timeoutMs);

    const row = (view: string, id: string, hours: number, value: number, computedAt = 0): FeatureRow => ({
      view,
      version: 1,
      entityKey: keyOf(id),
      eventTime: at(hours),
      computedAt: processingTime(START + 10 * DAY_MS + computedAt),
      values: { value, name: 'x"y,z', flag: true, nothing: null },
    });

    test('predictions are listed, newest first, of a model, an entity, a time', async () => {
      const model = randomUUID();
      const prediction = (index: number) => ({
        predictionId: `p-${model}-${index}`,
        requestId: `${model}-${index}`,
        rowIndex: 0,
        modelName: index === 3 ? `${model}-other` : model,
        modelVersion: 1,
        entityKey: index % 2 === 0 ? keyOf('even') : undefined,
        features: { amount: index },
        prediction: 'fraud',
        probabilities: { fraud: 0.75, legitimate: 0.25 },
        predictedAtMs: START + index,
      });
      await store.predictions.write([0, 1, 2, 3].map(prediction));
      const ids = async (filter: object) =>
        (await store.predictions.list({ limit: 10, modelName: model, ...filter })).map(
          ({ predictedAtMs }) => predictedAtMs - START,
        );
      expect(await ids({})).toEqual([2, 1, 0]);
      expect(await ids({ limit: 1 })).toEqual([2]);
      expect(await ids({ entityKeys: [keyOf('even'), keyOf('odd')] })).toEqual([2, 0]);
      expect(await ids({ sinceMs: START + 1 })).toEqual([2, 1]);
      expect(await ids({ untilMs: START + 2 })).toEqual([1, 0]);
      expect(await store.predictions.list({ limit: 1, modelName: model })).toEqual([prediction(2)]);
      // By the platform's id, and by the caller's.
      expect(await store.predictions.named(`p-${model}-1`, 10)).toEqual([prediction(1)]);
      expect(await store.predictions.named(`${model}-2`, 10)).toEqual([prediction(2)]);
      expect(await store.predictions.named('none', 10)).toEqual([]);
    });

    test('predictions are read page by page, the oldest first, those of one moment once each', async () => {
      const model = randomUUID();
      const rows = Array.from({ length: 7 }, (_, index) => ({
        ...{ predictionId: `${model}-${index >> 1}`, requestId: model, rowIndex: index % 2, modelName: model },
        ...{ modelVersion: 1, features: { index }, prediction: '1', predictedAtMs: START + Math.floor(index / 4) },
      }));
      await store.predictions.write(rows);
      const read: unknown[] = [];
      const of = { modelName: model, sinceMs: START, untilMs: START + 2, limit: 3 };
      let after: PredictionPosition | undefined;
      for (;;) {
        const page = await store.predictions.page({ ...of, after });
        if (page.length === 0) break;
        expect(page.length).toBeLessThanOrEqual(3);
        read.push(...page.map(({ features }) => features.index));
        after = page.at(-1);
      }
      expect(read).toEqual([0, 1, 2, 3, 4, 5, 6]);
      expect(await store.predictions.page({ ...of, sinceMs: START + 1, after: undefined })).toHaveLength(3);
      expect(await store.predictions.page({ ...of, untilMs: START, after: undefined })).toEqual([]);
    });

    test('rows leave as Parquet, and come back the same', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'export-'));
      const view = { ...fraudView, view: randomUUID() };
      const computation = new ViewComputation(view, DAY_MS);
      const rows: FeatureRow[] = [];
      for (const entity of ['a', 'b|c', 'é']) {
        const state = emptyEntityState();
        for (let index = 0; index < 20; index += 1) {
          const event = {
            amount: index / 7,
            merchant_id: 'm',
            merchant_category: index % 3 === 0 ? null : 'cash',
            country: 'DE',
          };
          const time = START + index * 5 * HOUR_MS + 3;
          rows.push({
            view: view.view,
            version: view.version,
            entityKey: keyOf(entity),
            eventTime: eventTime(time),
            computedAt: processingTime(START + index),
            values: computation.apply(state, event, time),
          });
        }
      }
      await store.features.write(rows);
      const range = { from: at(-24), to: at(24 * 10) };
      const page = { limit: 1_000, after: undefined };
      const before = await store.features.rowsBetween(view, range, page);
      expect(before).toHaveLength(rows.length);
      const fileSystemOf = createFileSystems();
      expect(await exportRows(store.features, view, range, { out: folder, fileSystemOf })).toEqual({
        files: 4,
        rows: 60,
      });
      const copy = { ...view, view: randomUUID() };
      renameSync(join(folder, viewId(view)), join(folder, viewId(copy)));
      expect(await importRows(store.features, copy, { from: folder, fileSystemOf })).toEqual({ files: 4, rows: 60 });
      const after = await store.features.rowsBetween(copy, range, page);
      expect(after.map((row) => ({ ...row, view: view.view }))).toEqual(before);
      await expect(
        importRows(store.features, { ...view, view: 'none' }, { from: folder, fileSystemOf }),
      ).rejects.toThrow(/no file matches/);
      rmSync(folder, { recursive: true });
    });

    test('what is older than it may be is counted, then deleted; the rest stays', async () => {
      const view = randomUUID();
      const years = 24 * 365;
      const before = at(-20 * years);
      await store.retention.deleteBefore(before, false);
      await store.features.write([
        row(view, 'a', -30 * years, 1),
        row(view, 'a', -30 * years + 1, 2),
        row(view, 'a', 0, 3),
      ]);
      const labels = [-30 * years, 0].map((hours, index) => ({
        labelId: `${view}-${index}`,
        entityKey: keyOf('a'),
        eventTime: at(hours),
        label: 1,
      }));
      await store.labels.write(view, labels);
      const statistics = { rows: 1, nulls: 0, mean: 1, stddev: 0, min: 1, max: 1, quantiles: [], top: [], sampled: 1 };
      const ofWindow = { view, version: 1, feature: 'value', windowMs: HOUR_MS, statistics };
      await store.statistics.write([-30 * years, 0].map((hours) => ({ ...ofWindow, windowStartMs: at(hours) })));
      const expired = { featureRows: 2, predictions: 0, feedback: 0, labels: 1, statistics: 1, driftReports: 0 };
      expect(await store.retention.deleteBefore(before, true)).toEqual(expired);
      expect(await store.features.countRows({ view, version: 1 })).toBe(3);
      expect(await store.retention.deleteBefore(before, false)).toEqual(expired);
      expect(await store.features.countRows({ view, version: 1 })).toBe(1);
      expect(await store.retention.deleteBefore(before, false)).toEqual({
        featureRows: 0,
        predictions: 0,
        feedback: 0,
        labels: 0,
        statistics: 0,
        driftReports: 0,
      });
      await store.features.write([row(view, 'a', -30 * years, 1)]);
      expect(await store.features.countRows({ view, version: 1 })).toBe(2);
      expect(await store.retention.deleteBefore(before, false)).toMatchObject({ featureRows: 1 });
    });

    test('labels come back by time with what they brought along, from their source and from a query', async () => {
      const source = randomUUID();
      const labels = [3, 1, 2].map((hours) => ({
        labelId: `l${hours}`,
        entityKey: keyOf('a'),
        eventTime: at(hours),
        label: hours / 2,
        ...(hours === 2 ? {} : { request: { amount: hours, kind: "it's", none: null } }),
      }));
      await store.labels.write(source, labels);
      const range = { from: at(1), to: at(3) };
      const byTime = [labels[1], labels[2]];
      expect(await store.labels.read(source, range)).toEqual(byTime);
      const query = `SELECT label_id, entity_key, event_time, label, 'x' AS kind FROM labels WHERE source = '${source}'`;
      expect(await store.labels.query(query, range, fraudView)).toEqual(
        byTime.map((label) => ({ ...label, request: { kind: 'x' } })),
      );
      await expect(
        store.labels.query(
          'SELECT now() AS event_time',
          { from: at(0), to: eventTime(Date.now() + DAY_MS) },
          fraudView,
        ),
      ).rejects.toThrow(/row 0 of the label query needs entity_key/);
    });

    test('label times finer than a millisecond are cut off, and those without a zone are UTC, whatever the zone of the machine', async () => {
      const range = { from: eventTime(Date.UTC(2026, 4, 30)), to: eventTime(Date.UTC(2026, 4, 31)) };
      const times = [
        ["timestamptz '2026-05-30 12:00:00.123999+00'", Date.UTC(2026, 4, 30, 12, 0, 0, 123)],
        ["timestamp '2026-05-30 12:00:00.1239999'", Date.UTC(2026, 4, 30, 12, 0, 0, 124)],
        ["timestamp '2026-05-30 12:00:00.9996'", Date.UTC(2026, 4, 30, 12, 0, 0, 999)],
        ["timestamptz '2026-05-30 14:00:00+02'", Date.UTC(2026, 4, 30, 12)],
        ["date '2026-05-30'", Date.UTC(2026, 4, 30)],
        ["'2026-05-30 12:00'", Date.UTC(2026, 4, 30, 12)],
      ] as const;
      for (const [time, expected] of times) {
        const query = `SELECT 'a' AS account_id, ${time} AS event_time, 1 AS label`;
        const [label] = await store.labels.query(query, range, fraudView);
        expect([time, label?.eventTime]).toEqual([time, expected]);
      }
      expect(
        await store.history.read("SELECT timestamp '2026-05-30 12:00' AS at, 'e' AS id", {
          ...{ timestampField: 'at', idField: 'id', after: { time: '2026-05-30T12:00:00Z', id: 'd' }, limit: 2 },
        }),
      ).toHaveLength(1);
    });

    test('rows of a query come by time and id, a page at a time', async () => {
      const query =
        "SELECT (n / 3) * interval '1 hour' + timestamptz '2026-05-30Z' AS at, 'id-' || n AS id, n FROM generate_series(1, 10) n";
      const found: number[] = [];
      let after: { time: string; id: string } | undefined;
      for (;;) {
        const page = await store.history.read(query, { timestampField: 'at', idField: 'id', after, limit: 4 });
        if (page.length === 0) break;
        found.push(...page.map(({ n }) => n as number));
        const last = page.at(-1);
        after = { time: String(last?.at), id: String(last?.id) };
      }
      expect(found).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 10, 9]);
    });

    test('statistics replace those of the same window, and come newest first', async () => {
      const view = { view: randomUUID(), version: 1 };
      const of = (hours: number, feature: string, rows: number) => ({
        ...view,
        feature,
        windowStartMs: at(hours),
        windowMs: HOUR_MS,
        statistics: {
          rows,
          nulls: 1,
          mean: 0.5,
          stddev: 0,
          min: -1,
          max: 2,
          quantiles: [1, 2],
          top: [['x', 0.5]] as const,
          sampled: 2,
        },
      });
      await store.statistics.write([of(0, 'a', 1), of(1, 'a', 2), of(1, 'b', 3)]);
      await store.statistics.write([of(1, 'a', 4)]);
      expect(await store.statistics.list({ view, limit: 10 })).toEqual([of(1, 'a', 4), of(1, 'b', 3), of(0, 'a', 1)]);
      expect(await store.statistics.list({ view, feature: 'a', toMs: at(1), limit: 10 })).toEqual([of(0, 'a', 1)]);
      expect(await store.statistics.list({ view, fromMs: at(1), limit: 1 })).toEqual([of(1, 'a', 4)]);
    });

    test('what became of models is listed, newest first', async () => {
      const model = randomUUID();
      const entry = (version: number) => ({
        model,
        version,
        action: 'promote',
        stage: 'Production',
        replaced: version === 1 ? undefined : version - 1,
        by: 'ann',
        reason: "it's better",
        gates: [{ gate: 'metric', passed: true, detail: 'auc 0.9' }],
        metrics: { auc: 0.9 },
        atMs: START + version,
      });
      for (const version of [1, 2, 3]) await store.modelAudit.write(entry(version));
      expect(await store.modelAudit.list(model, 2)).toEqual([entry(3), entry(2)]);
    });

    test('what was done by whom is one chain, whoever adds to it at the same time', async () => {
      const model = randomUUID();
      const before = await store.auditTrail.verify();
      const adding = Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0
          ? store.modelAudit.write({
              ...{ model, version: index, action: 'promote', stage: 'Production', replaced: undefined, by: 'ann' },
              ...{ reason: 'better', gates: [], metrics: {}, atMs: START + index },
            })
          : store.routing.append({ model, revision: index, atMs: START, by: 'bob', reason: 'try', state: {} }),
      );
      await Promise.all(adding);
      // What is there already adds nothing.
      await store.routing.append({ model, revision: 1, atMs: START, by: 'eve', reason: 'try', state: {} });
      const after = await store.auditTrail.verify(before.head);
      expect(after).toEqual({
        entries: before.entries + 20,
        head: expect.stringMatching(/^[0-9a-f]{64}$/),
        problems: [],
      });
      expect((await store.auditTrail.verify('00ff')).problems).toEqual(['no entry has the hash 00ff any more']);
    });

    test('changes of routing: one of each revision, the newest holds, all are listed', async () => {
      const model = randomUUID();
      const change = (revision: number) => ({
        ...{ model, revision, atMs: START + revision, by: 'ada', reason: `change ${revision}` },
        state: { routing: null, canary: { version: revision } },
      });
      for (const revision of [1, 2, 3]) expect(await store.routing.append(change(revision))).toBe(true);
      expect(await store.routing.append({ ...change(3), by: 'bob' })).toBe(false);
      expect((await store.routing.read()).filter((row) => row.model === model)).toEqual([change(3)]);
      expect(await store.routing.list(model, 2)).toEqual([change(3), change(2)]);
    });

    test('outcomes of an experiment are summed by entity; the newest word about a prediction counts', async () => {
      const model = randomUUID();
      const variants = ['control', 'challenger'] as const;
      const predictions = Array.from({ length: 300 }, (_, index) => ({
        ...{ predictionId: `${model}-${index >> 1}`, requestId: model, rowIndex: index & 1, modelName: model },
        modelVersion: 1,
        variant: variants[index % 3 === 0 ? 0 : 1] as string,
        experiment: index % 7 === 0 ? undefined : 'lift',
        // Some are nobody's: each is a unit of its own.
        entityKey: index % 5 === 0 ? undefined : keyOf(`user-${index % 20}`, 'user'),
        ...{ features: {}, prediction: index % 2 === 0 ? 'yes' : 'no', predictedAtMs: START },
      }));
      await store.predictions.write(predictions);
      const answered = predictions.filter((_, index) => index % 4 !== 0);
      const feedback = answered.map(({ predictionId, rowIndex }, index) => ({
        ...{ predictionId, rowIndex, label: 'yes', receivedAtMs: START + 1 },
        value: index % 3,
      }));
      const [first] = feedback as [(typeof feedback)[number]];
      await store.feedback.write([...feedback, { ...first, value: 50 }]);
      await store.feedback.write([first]);
      await store.feedback.write([{ ...first, value: 99, receivedAtMs: START }]);
      const told = new Map(feedback.map((each) => [`${each.predictionId}#${each.rowIndex}`, each.value]));
      for (const outcome of ['value', 'correct'] as const) {
        const expected = variants.map((variant) => {
          const own = predictions.filter((each) => each.variant === variant && each.experiment === 'lift');
          const units = new Map<string, { n: number; total: number }>();
          for (const { predictionId, rowIndex, entityKey, prediction } of own) {
            const id = `${predictionId}#${rowIndex}`;
            const unit = units.get(entityKey ?? id) ?? { n: 0, total: 0 };
            units.set(entityKey ?? id, unit);
            const value = told.get(id);
            if (value === undefined) continue;
            unit.n += 1;
            unit.total += outcome === 'value' ? value : Number(prediction === 'yes');
          }
          const sum = (of: (unit: { n: number; total: number }) => number) =>
            [...units.values()].reduce((all, unit) => all + of(unit), 0);
          return {
            ...{ variant, predictions: own.length, assignedUnits: units.size },
            units: [...units.values()].filter(({ n }) => n > 0).length,
            ...{ outcomes: sum(({ n }) => n), total: sum(({ total }) => total) },
            totalSquared: sum(({ total }) => total * total),
            outcomesSquared: sum(({ n }) => n * n),
            product: sum(({ n, total }) => n * total),
          };
        });
        const found = await store.feedback.experimentOutcomes({ model, experiment: 'lift', outcome });
        expect([...found].reverse()).toEqual(expected);
      }
      const later = { model, experiment: 'lift', outcome: 'value', sinceMs: START + 1 } as const;
      expect(await store.feedback.experimentOutcomes(later)).toEqual([]);
    });

    test('an entity that is erased is gone everywhere, once that is wanted; others stay', async () => {
      const [gone, stays, model] = [keyOf(randomUUID()), keyOf(randomUUID()), randomUUID()];
      const rows = [gone, stays].flatMap((entityKey) =>
        [0, 1].map((hours) => ({
          ...{ view: model, version: 1, entityKey, eventTime: at(hours), computedAt: processingTime(START) },
          values: { n: hours },
        })),
      );
      await store.features.write(rows);
      const predictions = [gone, stays].map((entityKey) => ({
        ...{ predictionId: entityKey, requestId: entityKey, rowIndex: 0 },
        ...{ modelName: model, modelVersion: 1, entityKey },
        ...{ features: {}, prediction: 'yes', predictedAtMs: START },
      }));
      await store.predictions.write(predictions);
      await store.feedback.write(
        predictions.map(({ predictionId }) => ({ predictionId, rowIndex: 0, label: 'no', receivedAtMs: START })),
      );
      await store.labels.write(model, [
        { labelId: gone, entityKey: gone, eventTime: at(0), label: 1 },
        { labelId: stays, entityKey: stays, eventTime: at(0), label: 0 },
      ]);
      const all = { featureRows: 2, predictions: 1, feedback: 1, labels: 1 };
      expect(await store.subjects.erase(gone, true)).toEqual(all);
      expect(await store.subjects.erase(gone, false)).toEqual(all);
      expect(await store.subjects.erase(gone, false)).toEqual({
        featureRows: 0,
        predictions: 0,
        feedback: 0,
        labels: 0,
      });
      expect((await store.predictions.list({ limit: 10, modelName: model })).map(({ entityKey }) => entityKey)).toEqual(
        [stays],
      );
      expect(await store.subjects.erase(stays, true)).toEqual(all);
    });

    test('entities of two types with one id are two, in rows, joins, predictions, labels and erasure', async () => {
      const [view, id] = [randomUUID(), randomUUID()];
      const keys = ['', '|', '\\', '#5', ':x', '{}', '%', '_', "'", 'é'].flatMap((end) =>
        ['user', 'account'].map((entity) => keyOf(`${id}${end}`, entity)),
      );
      await store.features.write(keys.map((entityKey, index) => ({ ...row(view, 'x', 0, index), entityKey })));
      await store.predictions.write(
        keys.map((entityKey, rowIndex) => ({
          ...{ predictionId: id, requestId: id, rowIndex, modelName: view, modelVersion: 1, entityKey, features: {} },
          prediction: 'yes',
          predictedAtMs: START,
        })),
      );
      await store.labels.write(
        view,
        keys.map((entityKey, index) => ({ labelId: `${index}`, entityKey, eventTime: at(1), label: index })),
      );
      const moments = keys.map((entityKey) => ({ entityKey, eventTime: at(1) }));
      const joined = async () =>
        (await store.features.pointInTimeJoin(moments, { view: { view, version: 1 } })).map((values) => values?.value);
      expect(await joined()).toEqual(keys.map((_, index) => index));
      for (const key of keys.slice(0, 6)) {
        expect(await store.subjects.erase(key, false)).toEqual({
          featureRows: 1,
          predictions: 1,
          feedback: 0,
          labels: 1,
        });
      }
      expect(await joined()).toEqual(keys.map((_, index) => (index < 6 ? undefined : index)));
      const left = keys.slice(6);
      const predicted = await store.predictions.list({ limit: 100, modelName: view });
      expect(predicted.map(({ entityKey }) => entityKey)).toEqual(left);
      const labels = await store.labels.read(view, { from: at(0), to: at(2) });
      expect(new Set(labels.map(({ entityKey }) => entityKey))).toEqual(new Set(left));
    });

    test('integers of 64 bits stay exact in keys of label queries and in history', async () => {
      const ids = [9_007_199_254_740_991n, 9_007_199_254_740_992n, 9_007_199_254_740_993n, -(2n ** 63n), 5n];
      const values = ids.map((id) => `('${id}'::bigint)`).join(', ');
      const orders = { entity: { name: 'order', joinKeys: ['order_id'] }, joinKeyTypes: ['number'] } as const;
      const query = (column: string) =>
        `SELECT id AS ${column}, timestamptz '2026-05-30Z' AS event_time, 1 AS label, 7 AS amount FROM (VALUES ${values}) AS v(id)`;
      const range = { from: at(-1), to: at(1) };
      for (const column of ['order_id', 'entity_key']) {
        const found = await store.labels.query(query(column), range, orders);
        expect(new Set(found.map(({ entityKey }) => entityKey))).toEqual(new Set(ids.map((id) => `order:#${id}`)));
        for (const { request } of found) expect(request?.amount).toBe(7);
      }
      // Other columns are numbers of features: an integer that they would change is refused.
      const large = `SELECT 'a' AS entity_key, timestamptz '2026-05-30Z' AS event_time, 1 AS label, ${2n ** 53n + 1n} AS amount`;
      await expect(store.labels.query(large, range, orders)).rejects.toThrow(
        /row 0 of the label query: amount: .*9007199254740993/,
      );
      const page = { timestampField: 'event_time', idField: 'order_id', after: undefined, limit: 10 };
      const rows = await store.history.read(query('order_id'), page);
      expect(new Set(rows.map((found) => BigInt(found.order_id as number | bigint)))).toEqual(new Set(ids));
      expect(rows.find((found) => found.order_id === 5)).toBeDefined();
    });

    test('drift reports: a window told again replaces itself; the newest first; those of one model, version, time', async () => {
      const model = randomUUID();
      const column = {
        column: 'amount',
        kind: 'feature',
        psi: 0.31,
        nullShare: 0.5,
        outOfRangeShare: 0,
        drifted: true,
      } as const;
      const report = (version: number, window: number, rows: number) => ({
        ...{ model, version, rows, windowMs: HOUR_MS, windowStartMs: START + window * HOUR_MS },
        ...{ columns: [column], reportedAtMs: START + rows },
      });
      await store.drift.write([report(1, 0, 10), report(1, 1, 20), report(2, 1, 30)]);
      await store.drift.write([report(1, 1, 25)]);
      const all = await store.drift.list({ model, limit: 10 });
      expect(all).toEqual([report(2, 1, 30), report(1, 1, 25), report(1, 0, 10)]);
      const since = START + HOUR_MS;
      expect(await store.drift.list({ model, version: 1, sinceMs: since, limit: 10 })).toEqual([report(1, 1, 25)]);
      expect(await store.drift.list({ model, limit: 1 })).toHaveLength(1);
    });

    test('judged predictions are those whose outcome was told, the newest of each version', async () => {
      const model = randomUUID();
      const prediction = (version: number, index: number) => ({
        ...{ predictionId: `${model}-${version}-${index}`, requestId: model, rowIndex: 0 },
        ...{ modelName: model, modelVersion: version },
        ...{ features: {}, prediction: 'yes', probabilities: { no: 0.2, yes: 0.8 }, predictedAtMs: START + index },
      });
      const predictions = [1, 2].flatMap((version) =>
        Array.from({ length: 6 }, (_, index) => prediction(version, index)),
      );
      await store.predictions.write(predictions);
      const told = predictions.filter((_, index) => index % 2 === 0);
      const toldAt = Date.UTC(2031, 0, 1);
      const feedback = told.map(({ predictionId }, index) => ({
        ...{ predictionId, rowIndex: 0, label: 'no', value: index, receivedAtMs: toldAt },
      }));
      await store.feedback.write(feedback);
      const [first] = feedback;
      expect(await store.feedback.read([{ predictionId: `${model}-1-0`, rowIndex: 0 }])).toEqual([first]);
      expect(await store.feedback.read([{ predictionId: `${model}-1-0`, rowIndex: 1 }])).toEqual([]);
      const found = (await store.drift.judgedPredictions(toldAt, 2)).filter((row) => row.model === model);
      expect(found.map(({ version, value }) => [version, value]).sort()).toEqual([
        [1, 1],
        [1, 2],
        [2, 4],
        [2, 5],
      ]);
      expect(found[0]).toMatchObject({ prediction: 'yes', probabilities: { no: 0.2, yes: 0.8 }, label: 'no' });
      expect((await store.drift.judgedPredictions(toldAt + 1, 2)).filter((row) => row.model === model)).toEqual([]);
      expect(await store.drift.judgedPredictions(toldAt, 9, { model, version: 2 })).toHaveLength(3);
      expect(await store.drift.judgedPredictions(toldAt, 9, { model, version: 3 })).toEqual([]);
    });

    test('scores of a version are the oldest or newest since then; labels of feedback are moments of entities', async () => {
      const model = randomUUID();
      const predictions = Array.from({ length: 6 }, (_, index) => ({
        ...{ predictionId: `${model}-${index}`, requestId: model, rowIndex: 0, modelName: model, modelVersion: 4 },
        ...{ features: {}, prediction: 'yes', probabilities: { no: 1 - index / 10, yes: index / 10 } },
        ...{ predictedAtMs: START + index, ...(index === 5 ? {} : { entityKey: keyOf(`e${index}`) }) },
      }));
      await store.predictions.write(predictions);
      const of = { model, version: 4 };
      // jsonb has an order of keys of its own: of the shorter name first.
      const scores = (order: 'oldest' | 'newest', sinceMs = START) =>
        store.drift.scores(of, { sinceMs, order, limit: 2 });
      expect(await scores('oldest')).toEqual([0, 0.1]);
      expect(await scores('newest')).toEqual([0.5, 0.4]);
      expect(await scores('oldest', START + 3)).toEqual([0.3, 0.4]);
      expect(await store.drift.scores({ model, version: 5 }, { sinceMs: START, order: 'oldest', limit: 2 })).toEqual(
        [],
      );
      const labels = ['no', 'yes', "o'clock", undefined, 'yes', 'yes'];
      await store.feedback.write(
        labels.map((label, index) => ({
          ...{ predictionId: `${model}-${index}`, rowIndex: 0, label, value: index === 3 ? 7 : undefined },
          receivedAtMs: START + 100,
        })),
      );
      const range = { from: eventTime(START), to: eventTime(START + 10) };
      const found = await store.labels.query(feedbackLabels(model, ['no', 'yes', "o'clock"]), range, fraudView);
      expect(found.map(({ entityKey, label }) => [entityKey, label])).toEqual([
        [keyOf('e0'), 0],
        [keyOf('e1'), 1],
        [keyOf('e2'), 2],
        [keyOf('e4'), 1],
      ]);
      const values = await store.labels.query(feedbackLabels(model, 'value'), range, fraudView);
      expect(values.map(({ entityKey, label }) => [entityKey, label])).toEqual([[keyOf('e3'), 7]]);
    });

    test('outcomes come page by page in the order in which they were received; of checkpoints, the newest from before', async () => {
      const model = randomUUID();
      const ids = ['c', 'a', 'b', 'd', 'e'].map((id) => `${model}-${id}`);
      await store.predictions.write(
        ids.map((predictionId, index) => ({
          ...{ predictionId, requestId: model, rowIndex: 0, modelName: model, modelVersion: 1 },
          ...{ features: { amount: index, kind: null }, prediction: 'yes' },
          predictedAtMs: START + index,
        })),
      );
      // The last two come at the same time: their ids decide.
      const received = [3, 1, 2, 4, 4];
      await store.feedback.write(
        ids.map((predictionId, index) => ({
          ...{ predictionId, rowIndex: 0, label: `l${index}`, receivedAtMs: START + (received[index] as number) },
        })),
      );
      const seen: Outcome[] = [];
      for (;;) {
        const after = seen.at(-1)?.place;
        const page = await store.checkpoints.outcomes({ model, after, untilMs: START + 10, limit: 2 });
        if (page.length === 0) break;
        seen.push(...page);
      }
      expect(seen.map(({ label }) => label)).toEqual(['l1', 'l2', 'l0', 'l3', 'l4']);
      expect(seen[0]).toMatchObject({
        ...{ id: `${model}-a#0`, features: { amount: 1, kind: null } },
        ...{ predictedAtMs: START + 1, receivedAtMs: START + 1 },
      });
      expect(await store.checkpoints.outcomes({ model, after: undefined, untilMs: START + 3, limit: 9 })).toHaveLength(
        2,
      );

      const of = { model, service: 'fraud@1' };
      const weights = {
        bias: 0.1 + 0.2,
        columns: [
          {
            name: 'kind',
            type: 'string' as const,
            weight: 0,
            missing: -1e-7,
            categories: { ['__proto__']: 2 },
            other: 0,
          },
        ],
      };
      const checkpoint = (startedMs: number, examples: number, newestMs: number, loss = 0.5) => ({
        ...{ startedMs, examples, newestMs, loss, weights, wentBackTo: examples === 40 ? 20 : null },
      });
      const all = [
        checkpoint(START, 20, START + 5),
        checkpoint(START, 40, START + 9),
        checkpoint(START + 7, 20, START + 8),
      ];
      await store.checkpoints.write(all.map((each) => ({ ...of, ...each })));
      await store.checkpoints.write([{ ...of, ...checkpoint(START, 20, START + 5, 0.4) }]);
      expect(await store.checkpoints.newest(of, START + 5)).toBeUndefined();
      expect(await store.checkpoints.newest(of, START + 6)).toEqual(checkpoint(START, 20, START + 5, 0.4));
      // A learner that has begun again is newer, however few it has learned from.
      expect(await store.checkpoints.newest(of, START + 10)).toEqual(all[2]);
      expect(await store.checkpoints.newest({ model, service: 'fraud@2' }, START + 10)).toBeUndefined();
    });

    test('predictions are kept once each', async () => {
      const before = await store.predictions.count();
      const prediction = {
        predictionId: randomUUID(),
        requestId: randomUUID(),
        rowIndex: 0,
        modelName: 'fraud_detector',
        modelVersion: 2,
        features: { amount: 1 },
        prediction: 'fraud',
        probabilities: { legitimate: 0.2, fraud: 0.8 },
        predictedAtMs: Date.now(),
      };
      await store.predictions.write([prediction, { ...prediction, rowIndex: 1, entityKey: keyOf('a') }]);
      await store.predictions.write([prediction]);
      expect(await store.predictions.count()).toBe(before + 2);
      // One request id, several answers: each is kept, and found by it.
      const others = Array.from({ length: 5 }, (_, index) => ({
        ...{ ...prediction, predictionId: randomUUID(), predictedAtMs: prediction.predictedAtMs + index + 1 },
      }));
      await store.predictions.write(others);
      expect(await store.predictions.count()).toBe(before + 7);
      const { requestId } = prediction;
      const named = await store.predictions.find([
        { requestId, rowIndex: 0 },
        { requestId: randomUUID(), rowIndex: 0 },
      ]);
      expect(named.map(({ predictionId }) => predictionId)).toEqual(
        [prediction, ...others].map(({ predictionId }) => predictionId),
      );
      expect(named[0]).toEqual({
        ...{ requestId, rowIndex: 0, predictionId: prediction.predictionId, predictedAtMs: prediction.predictedAtMs },
        ...{ modelName: 'fraud_detector', modelVersion: 2 },
      });
    });

    test('rows of one key in one batch are merged, of every kind: the last counts, the newest, or the first', async () => {
      // Few keys, so that most batches hold one twice; times that come in any order.
      const entries = fc.array(
        fc.record({ key: fc.integer({ min: 0, max: 4 }), at: fc.integer({ min: 0, max: 3 }), n: fc.nat({ max: 999 }) }),
        { minLength: 1, maxLength: 30 },
      );
      await fc.assert(
        fc.asyncProperty(entries, async (batch) => {
          const id = randomUUID();
          const [last, first, newest] = [
            new Map<number, number>(),
            new Map<number, number>(),
            new Map<number, number>(),
          ];
          const times = new Map<number, number>();
          for (const { key, at: time, n } of batch) {
            last.set(key, n);
            if (!first.has(key)) first.set(key, n);
            if (time >= (times.get(key) ?? 0)) {
              times.set(key, time);
              newest.set(key, n);
            }
          }
          const sorted = (map: ReadonlyMap<number, number>) => [...map].sort(([a], [b]) => a - b);

          await store.features.write(batch.map(({ key, at: time, n }) => row(id, `e${key}`, 0, n, time)));
          const rows = await store.features.newestRows({ view: id, version: 1 }, { limit: 10 });
          expect(
            rows.map(({ entityKey, values }) => [Number(entityKey.slice(keyOf('e').length)), values.value]),
          ).toEqual(sorted(newest));

          await store.statistics.write(
            batch.map(({ key, n }) => ({
              ...{ view: id, version: 1, feature: `f${key}`, windowStartMs: START, windowMs: HOUR_MS },
              statistics: { rows: n } as never,
            })),
          );
          const statistics = await store.statistics.list({ view: { view: id, version: 1 }, limit: 10 });
          expect(statistics.map(({ feature, statistics: of }) => [Number(feature.slice(1)), of.rows])).toEqual(
            sorted(last),
          );

          await store.drift.write(
            batch.map(({ key, n }) => ({
              ...{
                model: id,
                version: key,
                windowStartMs: START,
                windowMs: HOUR_MS,
                rows: n,
                columns: [],
                reportedAtMs: START,
              },
            })),
          );
          const reports = await store.drift.list({ model: id, limit: 10 });
          expect(reports.map(({ version, rows: n }) => [version, n]).sort()).toEqual(sorted(last));

          await store.labels.write(
            id,
            batch.map(({ key, n }) => ({ labelId: `l${key}`, entityKey: keyOf('e'), eventTime: at(0), label: n })),
          );
          const labels = await store.labels.read(id, { from: at(-1), to: at(1) });
          expect(labels.map(({ labelId, label }) => [Number(labelId.slice(1)), label])).toEqual(sorted(last));

          const prediction = ({ key, n }: { key: number; n: number }) => ({
            ...{
              requestId: id,
              predictionId: id,
              rowIndex: key,
              modelName: id,
              modelVersion: 1,
              features: {},
              prediction: String(n),
            },
            predictedAtMs: START,
          });
          await store.predictions.write(batch.map(prediction));
          const predictions = await store.predictions.list({ modelName: id, limit: 10 });
          expect(predictions.map(({ rowIndex, prediction: n }) => [rowIndex, Number(n)])).toEqual(sorted(first));

          await store.feedback.write(
            batch.map(({ key, at: time, n }) => ({
              predictionId: id,
              rowIndex: key,
              value: n,
              receivedAtMs: START + time,
            })),
          );
          const judged = (await store.drift.judgedPredictions(START, 10)).filter(({ model }) => model === id);
          expect(judged.map(({ value }) => value).sort()).toEqual([...newest.values()].sort());
        }),
        { numRuns: 15 },
      );
    }, 120_000);

    test.each([
      ['NUL', 'w\0b', /0x00|u0000|NULL/i],
      ['half of a surrogate pair', 'w\ud800b', /surrogate|Unicode|json/i],
      ['a key that no index takes', Array.from({ length: 600 }, () => randomUUID()).join(''), /index row/],
    ])('a row with %s is refused as a record, and not as an outage', async (_, entityKey, problem) => {
      const refused = { ...row(randomUUID(), 'a', 0, 1), entityKey: `account:${entityKey}` as EntityKey };
      const refusal = store.features.write([{ ...refused, values: { name: entityKey } }]);
      await expect(refusal).rejects.toMatchObject({ failure: 'record', message: expect.stringMatching(problem) });
    });

    test('an audit entry is never lost for a character that the database does not store', async () => {
      const model = randomUUID();
      const entry = {
        ...{ atMs: START, model, version: 1, action: 'promote', stage: 'Production', by: 'a\0b', reason: 'c\ud800d' },
        ...{ gates: [], metrics: {} },
      } as unknown as Parameters<OfflineDatabase['modelAudit']['write']>[0];
      await store.modelAudit.write(entry);
      expect(await store.modelAudit.list(model, 1)).toMatchObject([{ by: 'a\ufffdb', reason: 'c\ufffdd' }]);
    });

    test('definitions are kept as data: replaced by kind and id, compared at start, refused where a function has changed', async () => {
      const name = `kept_${randomUUID().slice(0, 8)}`;
      const viewOf = (filter: (event: Readonly<Record<string, unknown>>) => boolean) =>
        testView({ ...count({ where: filter }).over('1h') }, { name });
      const before = viewOf((event) => Number(event.amount) > 100);
      await checkDefinitions(store.definitions, [before]);
      await checkDefinitions(store.definitions, [before]);
      const kept = (await store.definitions.readDefinitions()).filter(({ id }) => id === `${name}@1`);
      expect(kept).toMatchObject([
        { kind: 'view', id: `${name}@1`, data: JSON.parse(JSON.stringify(viewData(before))) },
      ]);
      await expect(checkDefinitions(store.definitions, [viewOf((event) => Number(event.amount) > 1)])).rejects.toThrow(
        /feature count_1h of kept_\w+@1 has changed: its filter was `.*> 100`, is `.*> 1`/,
      );
      await checkDefinitions(store.definitions, [
        { ...before, features: { ...before.features, more: field('amount', 'double', 'd') } },
      ]);
      const now = (await store.definitions.readDefinitions()).find(({ id }) => id === `${name}@1`);
      expect(now).toMatchObject({ data: { features: { count_1h: {}, more: { type: 'double' } } } });
    });

    test('what was applied of a definition stays beside what is in use until it is applied again; removed, it is gone', async () => {
      const record = (features: object) => {
        const view = testView({ ...count().over('1h'), ...features }, { name });
        return { kind: 'view', id: `${name}@1`, data: viewData(view) } as const;
      };
      const name = `applied_${randomUUID().slice(0, 8)}`;
      const [before, after] = [record({}), record({ more: field('amount', 'double', 'd') })];
      const featuresIn = (data: unknown) => (data as ViewData | undefined)?.features ?? {};
      const known = async () => (await store.definitions.readDefinitions()).find(({ id }) => id === `${name}@1`);
      // A store that has other views has a stream of before.
      await store.definitions.recordApplied([{ ...before, id: `${name}_other@1` }]);
      await store.definitions.recordDefinitions([before], 'have_no_history');
      expect(await known()).toMatchObject({ applied: null });
      await store.definitions.recordApplied([before]);
      await store.definitions.recordDefinitions([after], 'have_no_history');
      expect(Object.keys(featuresIn((await known())?.data)).sort()).toEqual(['count_1h', 'more']);
      expect(Object.keys(featuresIn((await known())?.applied))).toEqual(['count_1h']);
      await store.definitions.recordApplied([after]);
      expect(Object.keys(featuresIn((await known())?.applied)).sort()).toEqual(['count_1h', 'more']);
      await store.definitions.removeDefinitions([before, { kind: 'view', id: `${name}_other@1` }]);
      expect(await known()).toBeUndefined();
    });

    test('one apply has the lock; another takes it over by the id of the one that it replaces', async () => {
      const owner = (id: string) => ({ id, host: 'h', bootId: 'b', pidNamespace: 'n', pid: 1, startTime: '1' });
      expect(await store.definitions.lockApply(owner('first'), undefined)).toBe(true);
      expect(await store.definitions.lockApply(owner('second'), undefined)).toBe(false);
      expect(await store.definitions.lockApply(owner('second'), 'another')).toBe(false);
      expect(await store.definitions.holdApplyLock('first')).toBe(true);
      expect(await store.definitions.readApplyLock()).toMatchObject({
        owner: owner('first'),
        idleMs: expect.any(Number),
      });
      expect(await store.definitions.lockApply(owner('second'), 'first')).toBe(true);
      expect(await store.definitions.holdApplyLock('first')).toBe(false);
      await store.definitions.unlockApply('first');
      expect(await store.definitions.readApplyLock()).toMatchObject({ owner: owner('second') });
      await store.definitions.unlockApply('second');
      expect(await store.definitions.readApplyLock()).toBeUndefined();
    });

    test('the rate of back-fills is that of the newest five', async () => {
      for (const seconds of [1_000, 1, 1, 1, 1, 1]) await store.definitions.recordBackfill(100, seconds);
      expect(await store.definitions.readBackfillRate()).toBeCloseTo(100);
    });
  });
}
