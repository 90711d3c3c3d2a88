import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

// Erasing lasts: after `headwater entities erase` no file of the platform holds the id, also after a restart, after an older snapshot was put back, and when windows have
// passed. Others keep their values; the person may come back, and counts from zero.

const folder = mkdtempSync(join(tmpdir(), 'erasure-'));
const data = join(folder, 'data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Ids as no other data can hold them. */
const id = (name: string): string => `${name}-${randomUUID()}`;
const GONE = id('gone');
const STAYS = id('stays');
const ACCOUNT = id('account');

function filesWith(text: string): readonly string[] {
  const found: string[] = [];
  const visit = (path: string): void => {
    for (const entry of readdirSync(path)) {
      const inside = join(path, entry);
      const stat = statSync(inside, { throwIfNoEntry: false });
      if (stat?.isDirectory()) visit(inside);
      else if (stat?.isFile() && readFileSync(inside).includes(text)) found.push(inside.slice(data.length + 1));
    }
  };
  visit(data);
  return found;
}

let sequence = 0;
async function post(platform: PlatformProcess, event: object): Promise<number> {
  sequence += 1;
  const body = { event_id: `e${sequence}`, timestamp: new Date().toISOString(), ...event };
  const answer = await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: JSON.stringify(body) });
  await answer.arrayBuffer();
  return answer.status;
}

const click = (user: string, more: object = {}) => ({ event_type: 'click', user_id: user, ...more });
const payment = (user: string, account: string) => ({
  ...{ event_type: 'transaction', user_id: user, account_id: account, amount: 10, currency: 'EUR' },
  ...{ merchant_id: 'm', merchant_category: 'grocery', country: 'DE' },
});

async function featureOf(platform: PlatformProcess, entity: string, key: string, feature: string): Promise<unknown> {
  const answer = await fetch(`${platform.urls.features}/features/${key}/${feature}?entity=${entity}`);
  const body = (await answer.json()) as { value?: unknown };
  return answer.status === 404 ? undefined : body.value;
}

async function becomes(look: () => Promise<unknown>, expected: unknown): Promise<void> {
  const untilMs = Date.now() + 60_000;
  let last: unknown;
  while (Date.now() < untilMs) {
    last = await look();
    if (last === expected) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(last).toEqual(expected);
}

const clicks = (platform: PlatformProcess, user: string) => () =>
  featureOf(platform, 'user', user, 'activity_count_24h');
const payments = (platform: PlatformProcess, account: string) => () =>
  featureOf(platform, 'account', account, 'count_24h');

test('an erased user is in no file, also after a restart with an older snapshot; others keep their values; who comes back counts from zero', async () => {
  let platform = await PlatformProcess.start(data);
  for (let round = 0; round < 5; round += 1) {
    for (const user of [GONE, STAYS]) expect(await post(platform, click(user))).toBe(202);
    expect(await post(platform, payment(GONE, ACCOUNT))).toBe(202);
  }
  // A dead letter of each kind: what is no JSON, what the schema refuses.
  expect(await post(platform, click(GONE, { amount: 'much' }))).toBe(400);
  await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: `{"user_id": "${GONE}", "event_type": ` });
  await becomes(clicks(platform, GONE), 5);
  await becomes(clicks(platform, STAYS), 5);
  await becomes(payments(platform, ACCOUNT), 5);
  // A prediction of the account, whose features a caller sent with the user's id.
  await fetch(`${platform.urls.serving}/predict`, {
    method: 'POST',
    body: JSON.stringify({ model_name: 'fraud_detector', entity_id: ACCOUNT }),
  });
  await becomes(async () => filesWith(GONE).some((file) => file.startsWith('snapshots')), true);
  expect(filesWith(GONE).length).toBeGreaterThan(3);
  cpSync(join(data, 'snapshots'), join(folder, 'older'), { recursive: true });

  // Everything that is kept of them, from the platform that runs.
  const exported = await runCommand(folder, ['entities', 'export', GONE, '--entity', 'user', '--output', 'user.json']);
  expect([exported.code, exported.stderr]).toEqual([0, expect.stringContaining('read online store')]);
  const { entity, places } = JSON.parse(readFileSync(join(folder, 'user.json'), 'utf8'));
  expect(entity).toBe(`user:${GONE}`);
  expect(places['topic raw-events']).toHaveLength(10);
  expect(places['topic dead-letter-queue']).toHaveLength(2);
  expect(places['offline store'].length).toBeGreaterThan(4);
  expect(places['online store'].length).toBeGreaterThan(0);
  expect(statSync(join(folder, 'user.json')).mode & 0o777).toBe(0o600);

  const erased = await runCommand(folder, ['entities', 'erase', GONE, '--entity', 'user', '--yes']);
  expect([erased.code, erased.stderr]).toEqual([0, expect.stringContaining('forget')]);
  expect(JSON.parse(erased.stdout)).toMatchObject({
    ...{ entity: `user:${GONE}`, erased: true, pipeline: 'applied' },
    'topic raw-events': 11,
    'topic dead-letter-queue': 2,
  });
  expect(filesWith(GONE)).toEqual([]);
  expect(await clicks(platform, GONE)()).toBeUndefined();
  expect(await clicks(platform, STAYS)()).toBe(5);
  expect(await payments(platform, ACCOUNT)()).toBe(5);

  // A snapshot of before, put back: its state is not used.
  await platform.terminate();
  rmSync(join(data, 'snapshots'), { recursive: true });
  cpSync(join(folder, 'older'), join(data, 'snapshots'), { recursive: true });
  platform = await PlatformProcess.start(data);
  for (const user of [GONE, STAYS]) expect(await post(platform, click(user))).toBe(202);
  await becomes(clicks(platform, GONE), 1);
  await becomes(clicks(platform, STAYS), 6);
  expect(await payments(platform, ACCOUNT)()).toBe(5);
  await platform.kill();

  // The same of a platform that is stopped: what has come since is erased as well.
  const again = await runCommand(folder, ['entities', 'erase', `user:${GONE}`, '--yes']);
  expect([again.code, JSON.parse(again.stdout)]).toEqual([0, expect.objectContaining({ pipeline: 'applied' })]);
  expect(filesWith(GONE)).toEqual([]);
  const account = await runCommand(folder, ['entities', 'erase', ACCOUNT, '--yes']);
  expect([account.code, account.stderr]).toEqual([0, expect.any(String)]);
  expect(filesWith(ACCOUNT)).toEqual([]);
  platform = await PlatformProcess.start(data);
  expect(await clicks(platform, GONE)()).toBeUndefined();
  expect(await payments(platform, ACCOUNT)()).toBeUndefined();
  await becomes(clicks(platform, STAYS), 6);
  expect(await post(platform, click(STAYS))).toBe(202);
  await becomes(clicks(platform, STAYS), 7);
  await platform.terminate();
  expect(filesWith(GONE)).toEqual([]);
  expect(filesWith(ACCOUNT)).toEqual([]);
}, 400_000);
