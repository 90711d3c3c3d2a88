import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { createFileSystems } from '#connectors/files/file_systems';
import { AuditKeys } from '#feature_store/audit/anchor';
import { AuditAnchors } from '#feature_store/audit/audit_anchors';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { serviceAddress } from '../integration/service_address.ts';

// A user of the database with every right in it writes the trail anew: rows, entries and hashes, so that all of it fits together.

const ENTRIES = 12;
const TABLES = ['model_audit', 'model_routing', 'audit_trail'];

let folder: string;
let admin: pg.Pool;
let database: string;
let pool: pg.Pool;
let store: OfflineDatabase;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'anchors-'));
  const address = new URL(serviceAddress('TEST_POSTGRES_URL'));
  admin = new pg.Pool({ connectionString: address.href });
  database = `audit_${randomUUID().replaceAll('-', '')}`;
  await admin.query(`CREATE DATABASE ${database}`);
  address.pathname = `/${database}`;
  pool = new pg.Pool({ connectionString: address.href });
  // Its idle connections are cut when the database is dropped.
  pool.on('error', () => {});
  store = sqlOfflineDatabase({ sql: new PostgresExecutor(pool), log: silentLogger }, 'postgres');
  await store.start();
  for (let number = 1; number <= ENTRIES; number += 1) await write(number);
}, 60_000);

afterAll(async () => {
  await store.stop();
  await admin.query(`DROP DATABASE ${database} WITH (FORCE)`);
  await admin.end();
  await rm(folder, { recursive: true, force: true });
});

async function write(number: number): Promise<void> {
  if (number % 4 === 0) {
    await store.routing.append({ model: 'fraud', revision: number, atMs: 0, by: 'bob', reason: 'try', state: {} });
    return;
  }
  await store.modelAudit.write({
    ...{ model: 'fraud', version: number, action: 'promote', stage: 'Production', replaced: undefined, by: 'ann' },
    ...{ reason: 'better', gates: [], metrics: { auc: 0.9 }, atMs: Date.UTC(2026, 0, number) },
  });
}

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const pemOf = (key: typeof privateKey, type: 'pkcs8' | 'spki'): string => String(key.export({ format: 'pem', type }));
const signing = new AuditKeys({ path: 'key.pem', pem: pemOf(privateKey, 'pkcs8') });
const verifying = new AuditKeys({ path: 'key.pub', pem: pemOf(publicKey, 'spki') });

function anchorsIn(name: string, keys: AuditKeys, of: Pick<OfflineDatabase, 'auditTrail'> = store): AuditAnchors {
  const deps = { trail: of.auditTrail, fileSystems: createFileSystems(), clock: systemClock };
  return new AuditAnchors(deps, { directory: join(folder, name), keys });
}

/** Does what `change` does, and hashes the whole chain anew, in a transaction that is rolled back. */
async function rewritten<T>(change: string, look: (changed: OfflineDatabase) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    for (const table of TABLES) await client.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
    await client.query(change);
    await client.query(`DO $$
      DECLARE kept record; last bytea;
      BEGIN
        FOR kept IN SELECT id, source, entry FROM audit_trail ORDER BY id LOOP
          UPDATE audit_trail SET previous = last, hash = audit_hash(last, kept.source, kept.entry)
          WHERE id = kept.id RETURNING hash INTO last;
        END LOOP;
      END $$`);
    const inside = { query: client.query.bind(client) } as unknown as pg.Pool;
    return await look(sqlOfflineDatabase({ sql: new PostgresExecutor(inside), log: silentLogger }, 'postgres'));
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

/** Another author of an entry, in the row and in the trail. */
const forge = (id: number): string => `
  UPDATE audit_trail SET entry = entry || '{"by_whom": "eve"}' WHERE id = ${id};
  UPDATE model_audit SET by_whom = 'eve' WHERE id = (SELECT (entry->>'id')::bigint FROM audit_trail WHERE id = ${id} AND source = 'model_audit');
  UPDATE model_routing SET by_whom = 'eve' WHERE revision = (SELECT (entry->>'revision')::bigint FROM audit_trail WHERE id = ${id} AND source = 'model_routing');
`;

test('a trail that was not touched is as its anchors say, with the public key alone', async () => {
  expect(await anchorsIn('whole', signing).anchor()).toBe(ENTRIES);
  expect(await anchorsIn('whole', verifying).verify()).toEqual({ anchored: ENTRIES, notAnchored: 0, problems: [] });
});

test('whichever entries are written anew, in a chain that fits: the first one is named', async () => {
  await anchorsIn('forged', signing).anchor();
  const ids = fc.uniqueArray(fc.integer({ min: 1, max: ENTRIES }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(ids, async (forged) => {
      await rewritten(forged.map(forge).join(''), async (changed) => {
        expect((await changed.auditTrail.verify()).problems).toEqual([]);
        const { problems } = await anchorsIn('forged', verifying, changed).verify();
        expect(problems).toHaveLength(1);
        expect(problems[0]).toContain(`entry ${Math.min(...forged)} of the trail (id ${Math.min(...forged)}) has hash`);
        await expect(anchorsIn('forged', signing, changed).anchor()).rejects.toThrow('the database was changed');
      });
    }),
    { numRuns: 15 },
  );
}, 60_000);

test.each([
  ['the newest entries', `id > ${ENTRIES - 3}`, `entry ${ENTRIES - 2} of the trail is gone`],
  ['the oldest entries', 'id <= 2', 'entry 1 of the trail (id 3) has hash'],
  ['all entries', 'true', 'entry 1 of the trail is gone'],
])('%s are taken away: the first one is named', async (_, which, problem) => {
  await anchorsIn('cut', signing).anchor();
  const change = `
    DELETE FROM model_audit WHERE id IN (SELECT (entry->>'id')::bigint FROM audit_trail WHERE ${which} AND source = 'model_audit');
    DELETE FROM model_routing WHERE revision IN (SELECT (entry->>'revision')::bigint FROM audit_trail WHERE ${which} AND source = 'model_routing');
    DELETE FROM audit_trail WHERE ${which};`;
  await rewritten(change, async (changed) => {
    expect((await changed.auditTrail.verify()).problems).toEqual([]);
    const { problems } = await anchorsIn('cut', verifying, changed).verify();
    expect(problems).toEqual([expect.stringContaining(problem)]);
  });
});
