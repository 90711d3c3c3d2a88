import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'headwater/client';
import { PlatformProcess } from 'headwater/testing';
import { customerValueView } from '../features/customer_value.ts';
import { userActivityV2 } from '../features/user_activity.ts';

test('the nightly workflow runs on good events, and stops at spoilt ones', { timeout: 180_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'activity-'));
  const data = join(folder, 'data');
  const settings = { USER_EVENTS: join(folder, 'history') };
  await mkdir(settings.USER_EVENTS);
  const event = (id: string, user: string, fields: object) => ({
    ...{ event_id: id, user_id: user, event_type: 'purchase', timestamp: new Date().toISOString(), amount: 20 },
    ...fields,
  });
  const good = Array.from({ length: 20 }, (_, at) => event(`e${at}`, `u${at}`, { device_type: 'mobile' }));
  await writeFile(join(settings.USER_EVENTS, 'events.jsonl'), good.map((each) => `${JSON.stringify(each)}\n`).join(''));
  const platform = await PlatformProcess.start(data, settings);
  try {
    const { gateway, features } = platform.urls;
    const client = createClient({ gatewayUrl: gateway, featuresUrl: features });
    const send = async (events: typeof good): Promise<void> => {
      await client.ingest.sendBatch(events);
      const { user_id: newest = '' } = events.at(-1) ?? {};
      const of = client.features.of(userActivityV2);
      for (let tries = 0; tries < 400 && (await of.get(newest)) === undefined; tries += 1) await sleep(50);
    };
    await send(good);
    await PlatformProcess.runWorkflow(data, 'value', {}, settings);
    const row = await client.features.of(customerValueView).get('u3');
    assert.equal(row?.monetary_365d, 20);

    await send(Array.from({ length: 60 }, (_, at) => event(`s${at}`, `spoilt${at}`, {})));
    await assert.rejects(
      PlatformProcess.runWorkflow(data, 'value', {}, settings),
      /broken: .*missing last_device_type: 75 %/,
    );
  } finally {
    await platform.terminate();
    await rm(folder, { recursive: true, force: true });
  }
});
