import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

test('a folder that another process has is not opened', async () => {
  const place = join(folder, 'taken');
  writeFileSync(`${place}.lock`, String(process.ppid));
  await expect(feedbackData({ environment: { FEEDBACK_DATABASE: place } }).open()).rejects.toMatchObject({
    ...{ code: 'FEEDBACK_FOLDER_IN_USE', message: expect.stringContaining(`process ${process.ppid} has the folder`) },
  });
});
