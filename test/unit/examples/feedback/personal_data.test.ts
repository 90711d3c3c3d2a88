import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { feedbackData } from '#examples/feedback/insights/personal_data';
import { storeOf } from '#examples/feedback/insights/routes';
import { readSettings } from '#examples/feedback/insights/settings';
import { personalDataContract } from '#feature_store/testing/personal_data_contract';

const folder = mkdtempSync(join(tmpdir(), 'feedback-data-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const environment = { FEEDBACK_DATABASE: join(folder, 'database') };

/** A comment and an adverse event of each. */
async function write(subjects: readonly Readonly<Record<string, string>>[]): Promise<void> {
  const store = storeOf(readSettings(environment));
  await store.start();
  for (const { customer_id: customer = '' } of subjects) {
    await store.keepText('The charger burned my hand.', customer);
    await store.record({
      ...{
        request_id: 'r1',
        customer_id: customer,
        language: 'en',
        score: 0.9,
        masked_text: 'The charger burned my hand.',
      },
      concerns: [{ concern: 'burn_or_fire', words: 'burned', found_by: 'local' }],
    });
  }
  await store.stop();
}

describe('kept feedback and adverse events', () => {
  for (const { name, timeoutMs, run } of personalDataContract(feedbackData({ environment }), { write }))
    test(name, run, timeoutMs);
});

test('an erased adverse event stays without customer, words and text, and its audit trail says by what', async () => {
  await write([{ customer_id: 'c1' }]);
  const data = await feedbackData({ environment }).open();
  expect(await data.erase({ key: 'customer:c1', joinKeys: { customer_id: 'c1' } })).toBe(2);
  await data.close?.();
  const store = storeOf(readSettings(environment));
  const [event] = await store.list({ limit: 1 });
  expect(event).toMatchObject({ customer_id: null, masked_text: null, concerns: [{ concern: 'burn_or_fire' }] });
  expect(JSON.stringify(event)).not.toContain('burned');
  expect((await store.audit(event?.id as string)).at(-1)).toMatchObject({
    ...{ actor: 'headwater entities erase', action: 'erased' },
  });
  await store.stop();
});

test('null characters and halves of characters are stored as what is readable, and erased with their customer', async () => {
  const store = storeOf(readSettings({ FEEDBACK_DATABASE: join(folder, 'odd') }));
  await store.start();
  await store.keepText('burned\0 \ud800', 'c\0');
  const { isSpooled } = await store.record({
    ...{ request_id: 'r\0', customer_id: 'c\0', language: 'en', score: 0.9, masked_text: 'burned\0 \ud800' },
    concerns: [{ concern: 'burn_or_fire', words: 'burned\0', found_by: 'local' }],
  });
  expect(isSpooled).toBe(false);
  expect(await store.list({ limit: 1 })).toMatchObject([
    { masked_text: 'burned\uFFFD \uFFFD', concerns: [{ words: 'burned\uFFFD' }] },
  ]);
  expect(await store.erase('c\0', 'a')).toEqual({ comments: 1, adverseEvents: 1 });
  await store.stop();
});

test('a line of the file that a killed process had begun keeps no other adverse event out of the database', async () => {
  const settings = readSettings({ FEEDBACK_DATABASE: join(folder, 'torn') });
  const spool = join(folder, 'torn-spool', 'adverse_events.jsonl');
  mkdirSync(join(folder, 'torn-spool'));
  const id = '1f0e7c56-0f0a-4c5e-9d1c-2f6f6c1f8a01';
  const event = { id, received_at: '2026-11-29T10:00:00Z', request_id: 'r', customer_id: null, language: 'en' };
  const whole = JSON.stringify({ ...event, score: 0.9, masked_text: 'It burned me.', concerns: [] });
  writeFileSync(spool, `${whole.slice(0, 40)}\n${whole}\n`);
  const store = storeOf(settings);
  await store.start();
  expect(await store.list({ limit: 9 })).toMatchObject([{ id }]);
  expect(store.spooled).toBe(0);
  expect(readFileSync(`${spool}.unreadable`, 'utf8')).toBe(`${whole.slice(0, 40)}\n`);
  await store.stop();
});

test('a folder that another process has is not opened', async () => {
  const place = join(folder, 'taken');
  writeFileSync(`${place}.lock`, String(process.ppid));
  await expect(feedbackData({ environment: { FEEDBACK_DATABASE: place } }).open()).rejects.toMatchObject({
    ...{ code: 'FEEDBACK_FOLDER_IN_USE', message: expect.stringContaining(`process ${process.ppid} has the folder`) },
  });
});
