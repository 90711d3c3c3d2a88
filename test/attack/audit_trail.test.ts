import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { createFileSystems } from '#connectors/files/file_systems';
import { s3ConfigSchema } from '#connectors/files/s3/s3_config';
import { S3Files } from '#connectors/files/s3/s3_files';
import { AuditKeys } from '#feature_store/audit/anchor';
import { AuditAnchors } from '#feature_store/audit/audit_anchors';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { serviceAddress } from '../integration/service_address.ts';

// A user of the database with every right in it writes the trail anew: rows, entries and hashes, so that all of it fits together.

const ENTRIES = 12;
const TABLES = ['model_audit', 'model_routing', 'audit_trail'];

const credentials = {
  accessKeyId: serviceAddress('TEST_S3_ACCESS_KEY'),
  secretAccessKey: serviceAddress('TEST_S3_SECRET_KEY'),
};
const endpoint = serviceAddress('TEST_S3_ENDPOINT');
const s3 = new S3Files(s3ConfigSchema.parse({ endpoint, credentials }));
const client = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true });
const bucket = `anchors-${randomUUID()}`;
/** Where anchors lie outside the database. */
const PLACES = ['a folder', 'a bucket'] as const;
type Place = (typeof PLACES)[number];

let folder: string;
let admin: pg.Pool;
let database: string;
let pool: pg.Pool;
let store: OfflineDatabase;

beforeAll(async () => {
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
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

function anchorsIn(
  where: Place,
  name: string,
  keys: AuditKeys,
  of: Pick<OfflineDatabase, 'auditTrail'> = store,
): AuditAnchors {
  const isFolder = where === 'a folder';
  const deps = { trail: of.auditTrail, fileSystems: isFolder ? createFileSystems() : () => s3, clock: systemClock };
  return new AuditAnchors(deps, { directory: isFolder ? join(folder, name) : `s3://${bucket}/${name}`, keys });
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

test.each(PLACES)(
  'a trail that was not touched is as its anchors in %s say, with the public key alone',
  async (where) => {
    expect(await anchorsIn(where, 'whole', signing).anchor()).toBe(ENTRIES);
    expect(await anchorsIn(where, 'whole', verifying).verify()).toEqual({
      ...{ anchored: ENTRIES, notAnchored: 0, problems: [] },
    });
  },
);

test.each(PLACES)(
  'whichever entries are written anew, in a chain that fits: anchors in %s name the first one',
  async (where) => {
    await anchorsIn(where, 'forged', signing).anchor();
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: ENTRIES }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(ids, async (forged) => {
        await rewritten(forged.map(forge).join(''), async (changed) => {
          expect((await changed.auditTrail.verify()).problems).toEqual([]);
          const { problems } = await anchorsIn(where, 'forged', verifying, changed).verify();
          expect(problems).toHaveLength(1);
          expect(problems[0]).toContain(
            `entry ${Math.min(...forged)} of the trail (id ${Math.min(...forged)}) has hash`,
          );
          await expect(anchorsIn(where, 'forged', signing, changed).anchor()).rejects.toThrow(
            'the database was changed',
          );
        });
      }),
      { numRuns: 10 },
    );
  },
  60_000,
);

test.each(
  PLACES.flatMap((where) =>
    (
      [
        ['the newest entries', `id > ${ENTRIES - 3}`, `entry ${ENTRIES - 2} of the trail is gone`],
        ['the oldest entries', 'id <= 2', 'entry 1 of the trail (id 3) has hash'],
        ['all entries', 'true', 'entry 1 of the trail is gone'],
      ] as const
    ).map((taken) => [where, ...taken] as const),
  ),
)('anchors in %s: %s are taken away, and the first one is named', async (where, _, which, problem) => {
  await anchorsIn(where, 'cut', signing).anchor();
  const change = `
    DELETE FROM model_audit WHERE id IN (SELECT (entry->>'id')::bigint FROM audit_trail WHERE ${which} AND source = 'model_audit');
    DELETE FROM model_routing WHERE revision IN (SELECT (entry->>'revision')::bigint FROM audit_trail WHERE ${which} AND source = 'model_routing');
    DELETE FROM audit_trail WHERE ${which};`;
  await rewritten(change, async (changed) => {
    expect((await changed.auditTrail.verify()).problems).toEqual([]);
    const { problems } = await anchorsIn(where, 'cut', verifying, changed).verify();
    expect(problems).toEqual([expect.stringContaining(problem)]);
  });
});

test('an anchor in a bucket that was changed, replaced by one of another key, or cut, is named; one that was removed leaves a gap', async () => {
  const own = anchorsIn('a bucket', 'damaged', signing);
  await own.anchor();
  await write(ENTRIES + 1);
  await own.anchor();
  const prefix = `s3://${bucket}/damaged/`;
  const [first = ''] = await s3.glob(`${prefix}*`);
  const Key = first.slice(`s3://${bucket}/`.length);
  const bytes = (await s3.readTagged(first))?.bytes as Buffer;
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const forged = new AuditKeys({ path: 'x', pem: pemOf(stranger, 'pkcs8') }).sign({
    ...(JSON.parse(bytes.toString()) as { from: number; hashes: string[] }),
    anchoredAt: new Date().toISOString(),
  });
  for (const [Body, problem] of [
    [bytes.toString().replace(/"anchoredAt":"\d{4}/, '"anchoredAt":"2001'), 'its signature is wrong'],
    [forged, 'is signed with another key'],
    [bytes.subarray(0, bytes.length / 2), 'is damaged, or no anchor'],
  ] as const) {
    await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
    const { problems } = await anchorsIn('a bucket', 'damaged', verifying).verify();
    expect(problems.join()).toContain(problem);
    expect(problems.join()).toContain(first);
  }
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
  const { problems } = await anchorsIn('a bucket', 'damaged', verifying).verify();
  expect(problems).toEqual([`s3://${bucket}/damaged has no anchor of entries 1 to ${ENTRIES}`]);
});
