import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { userActivityV1 } from '#examples/activity/features/user_activity';
import { fraudView } from '#examples/fraud/features/fraud';
import { sensorView } from '#examples/sensors/features/sensors';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { assetPath } from '#kernel/project_root';
import { eventTime } from '#kernel/time';
import { keyOf } from '../../support/entity_keys.ts';

export const MIGRATED = [fraudView, userActivityV1, sensorView];
const START = Date.UTC(2026, 9, 30);
const AT = new Date(START).toISOString();

/** A logger, and the lines it gets. */
export function listeningLogger() {
  const lines: Record<string, unknown>[] = [];
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) }) };
}

const MIGRATIONS = assetPath('feature_store/database/migrations');

/** The schema as releases before entity keys left it, with what they wrote. */
async function previousRelease(sql: SqlExecutor): Promise<void> {
  await sql.open();
  await sql.script(
    'CREATE TABLE headwater_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
  );
  for (const name of readdirSync(MIGRATIONS).sort()) {
    if (!/^00(0\d|10)_/.test(name)) continue;
    const text = readFileSync(`${MIGRATIONS}/${name}`, 'utf8');
    await sql.script(`${text};\nINSERT INTO headwater_migrations (name) VALUES ('${name}')`);
  }
  for (const month of ['2026_10', '2026_11']) {
    const from = `${month.replace('_', '-')}-01T00:00:00Z`;
    const to = month === '2026_10' ? '2026-11-01T00:00:00Z' : '2026-12-01T00:00:00Z';
    await sql.query(
      `CREATE TABLE feature_rows_${month} PARTITION OF feature_rows FOR VALUES FROM ('${from}') TO ('${to}')`,
    );
  }
  const write = (view: string, key: string, days = 0) =>
    sql.query(
      `INSERT INTO feature_rows SELECT $1, 1, $2, $3::timestamptz + $4 * interval '1 day', $3, jsonb_build_object('was', $2::text)`,
      [view, key, AT, days],
    );
  for (const key of ['x9', 'a|b', '#5', 'a\\', '(', 'é', 'account:x9', 'account:account:x9', 'x9 ']) {
    await write('fraud', key);
    await write('fraud', key, 3);
  }
  for (const key of ['x9', 'user:x9', 'undefined']) await write('user_activity', key);
  for (const key of ['s1|temperature', 'a|b|temperature', 'sensor:s1|temperature']) await write('sensor', key);
  await write('retired', 'old1');
  await write('unknown', 'who');
  await sql.query(
    `INSERT INTO feature_views (view, version, description) VALUES ('retired', 1, '{"entity": "policy", "joinKeys": ["policy_id"]}')`,
  );
  const label = (source: string, id: string, key: string) =>
    sql.query('INSERT INTO labels (source, label_id, entity_key, event_time, label) VALUES ($1, $2, $3, $4, 1)', [
      source,
      id,
      key,
      AT,
    ]);
  // Of accounts: all that is known is; `gone` has no rows any more.
  for (const [index, key] of ['x9', 'a|b', 'gone', 'account:x9'].entries())
    await label('chargebacks', `l${index}`, key);
  // Of a user or of an account.
  await label('unclear', 'l1', 'x9');
  const predict = (model: string, id: string, key: string | null) =>
    sql.query(
      `INSERT INTO predictions (request_id, row_index, model_name, model_version, entity_key, features, prediction, predicted_at) VALUES ($1, 0, $2, 1, $3, '{}', 'yes', $4)`,
      [id, model, key, AT],
    );
  await predict('fraud_detector', 'p1', 'x9');
  await predict('fraud_detector', 'p2', '#5');
  await predict('fraud_detector', 'p3', null);
  await predict('churn', 'p4', 'user:x9');
  await predict('unclear', 'p5', 'x9');
}

/** @param open - an empty database */
export function describeEntityKeysMigration(name: string, open: () => Promise<SqlExecutor>): void {
  describe(`${name} takes over what was written before entity keys`, () => {
    test('rows, labels and predictions are renamed; what is ambiguous is reported and stays', async () => {
      const executor = await open();
      await previousRelease(executor);
      // It is open, and a folder is opened once.
      const sql: SqlExecutor = {
        ...{ open: async () => {}, close: () => executor.close(), script: (text) => executor.script(text) },
        query: (text, parameters) => executor.query(text, parameters),
        transaction: (statements) => executor.transaction(statements),
      };
      const { lines, log } = listeningLogger();
      const store = sqlOfflineDatabase({ sql, log, views: MIGRATED }, 'test');
      await store.start();
      try {
        const keys = async (view: string) =>
          (
            await sql.query<{ key: string; was: string }>(
              `SELECT entity_key AS key, "values" ->> 'was' AS was FROM feature_rows WHERE view = $1 ORDER BY was, event_time`,
              [view],
            )
          ).map(({ key, was }) => [was, key] as const);
        const accounts = await keys('fraud');
        expect(accounts).toHaveLength(18);
        for (const [was, key] of accounts) expect(key).toBe(keyOf(was));
        expect(new Map(await keys('user_activity'))).toEqual(
          new Map([
            ['x9', 'user:x9'],
            ['user:x9', 'user:user:x9'],
            ['undefined', 'user:undefined'],
          ]),
        );
        expect(new Map(await keys('sensor'))).toEqual(
          new Map([
            ['s1|temperature', 'sensor:s1|temperature'],
            ['sensor:s1|temperature', 'sensor:sensor:s1|temperature'],
            ['a|b|temperature', 'a|b|temperature'],
          ]),
        );
        expect(await keys('retired')).toEqual([['old1', 'policy:old1']]);
        expect(await keys('unknown')).toEqual([['who', 'who']]);

        const range = { from: eventTime(START), to: eventTime(START + 1) };
        const labels = async (source: string) =>
          (await store.labels.read(source, range)).map(({ entityKey }) => entityKey);
        expect(await labels('chargebacks')).toEqual([
          'account:x9',
          'account:a\\|b',
          'account:gone',
          'account:account:x9',
        ]);
        expect(await labels('unclear')).toEqual(['x9']);
        const predicted = await store.predictions.list({ limit: 10 });
        expect(Object.fromEntries(predicted.map(({ requestId, entityKey }) => [requestId, entityKey]))).toEqual({
          ...{ p1: 'account:x9', p2: 'account:\\#5', p3: undefined, p4: 'user:user:x9', p5: 'x9' },
        });
        const left = lines.filter(({ msg }) => msg === 'offline_store.entity_keys_left');
        expect(left.map(({ source, scope, example }) => [source, scope, example])).toEqual([
          ['feature_rows', 'sensor@1', 'a|b|temperature'],
          ['feature_rows', 'unknown@1', 'who'],
          ['labels', 'unclear', 'x9'],
          ['predictions', 'unclear', 'x9'],
        ]);

        // One x9 goes, the other stays.
        expect(await store.subjects.erase(keyOf('x9', 'user'), false)).toMatchObject({
          featureRows: 1,
          predictions: 0,
        });
        expect(await store.subjects.erase(keyOf('x9'), true)).toMatchObject({
          featureRows: 2,
          predictions: 1,
          labels: 1,
        });
        // A second start renames nothing again.
        await sqlOfflineDatabase({ sql, log, views: MIGRATED }, 'test').start();
        expect(await keys('fraud')).toEqual(accounts);
      } finally {
        await store.stop();
      }
    }, 240_000);
  });
}
