import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { silentLogger } from '#monitoring/log';

// Somebody who may do anything in the database, and uses it.

const directory = mkdtempSync(join(tmpdir(), 'audit-'));
const sql = new PgliteExecutor(directory);
const store = sqlOfflineDatabase({ sql, log: silentLogger }, 'pglite');
beforeAll(async () => {
  await store.start();
  for (const version of [1, 2, 3, 4]) {
    await store.modelAudit.write({
      ...{ model: 'fraud', version, action: 'promote', stage: 'Production', replaced: undefined, by: 'ann' },
      ...{ reason: 'better', gates: [], metrics: { auc: 0.9 }, atMs: Date.UTC(2026, 0, version) },
    });
  }
  await store.routing.append({
    model: 'fraud',
    revision: 1,
    atMs: 0,
    by: 'bob',
    reason: 'try',
    state: { a: [1, null] },
  });
}, 60_000);
afterAll(async () => {
  await store.stop();
  rmSync(directory, { recursive: true, force: true });
});

test.each(['model_audit', 'model_routing', 'audit_trail'])(
  'rows of %s are neither changed nor deleted',
  async (table) => {
    const column = table === 'audit_trail' ? 'source' : 'reason';
    await expect(sql.query(`UPDATE ${table} SET ${column} = 'x'`)).rejects.toThrow(/only added/);
    await expect(sql.query(`DELETE FROM ${table}`)).rejects.toThrow(/only added/);
    await expect(sql.query(`TRUNCATE ${table}`)).rejects.toThrow(/only added/);
  },
);

/** Around the triggers, and taken back afterwards. */
async function tampered(change: string): Promise<readonly string[]> {
  await sql.query('BEGIN');
  try {
    for (const table of ['model_audit', 'model_routing', 'audit_trail']) {
      await sql.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
    }
    await sql.query(change);
    return (await store.auditTrail.verify()).problems;
  } finally {
    await sql.query('ROLLBACK');
  }
}

test.each([
  ['nothing', 'SELECT 1', []],
  [
    'a changed entry',
    `UPDATE audit_trail SET entry = jsonb_set(entry, '{by_whom}', '"eve"') WHERE id = 2`,
    [/^entry 2 was changed/, /^a row of model_audit was changed/],
  ],
  [
    'a changed entry with a hash that fits',
    `UPDATE audit_trail SET entry = entry || '{"by_whom": "eve"}', hash = audit_hash(previous, source, entry || '{"by_whom": "eve"}') WHERE id = 2`,
    [/^what was before entry 3 is gone, or another/, /^a row of model_audit was changed/],
  ],
  [
    'an entry taken away',
    'DELETE FROM audit_trail WHERE id = 3',
    [/^what was before entry 4 is gone/, /^a row of model_audit is not in the trail/],
  ],
  [
    'the newest entry taken away',
    'DELETE FROM audit_trail WHERE id = 5',
    [/^a row of model_routing is not in the trail/],
  ],
  [
    'a changed row',
    `UPDATE model_audit SET by_whom = 'eve' WHERE version = 1`,
    [/^a row of model_audit was changed.*eve/],
  ],
  ['a deleted row', 'DELETE FROM model_routing', [/^a row of model_routing is gone: .*bob/]],
])('%s: %s', async (_, change, problems) => {
  const found = await tampered(change);
  expect(found).toEqual(problems.map((problem) => expect.stringMatching(problem)));
});

test('the newest entry and its row taken away: whoever kept the head sees it', async () => {
  const { head } = await store.auditTrail.verify();
  await sql.query('BEGIN');
  for (const table of ['model_routing', 'audit_trail']) await sql.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
  await sql.query('DELETE FROM model_routing');
  await sql.query(`DELETE FROM audit_trail WHERE source = 'model_routing'`);
  expect((await store.auditTrail.verify()).problems).toEqual([]);
  expect((await store.auditTrail.verify(head)).problems).toEqual([`no entry has the hash ${head} any more`]);
  await sql.query('ROLLBACK');
  expect((await store.auditTrail.verify(head)).problems).toEqual([]);
});
