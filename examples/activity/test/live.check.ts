import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkActivity, lineOf, USUAL_URLS } from '../live_check.ts';

// Of a platform that runs on this machine: `npx headwater test test/live.check.ts`, after `npm run dev` and a trained model.

test('the platform passes twelve checks', { timeout: 300_000 }, async () => {
  const outcomes = await checkActivity(USUAL_URLS);
  for (const each of outcomes) console.log(lineOf(each));
  assert.deepEqual(
    outcomes.filter(({ passed }) => !passed),
    [],
  );
});
