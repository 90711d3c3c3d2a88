import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { MINUTE_MS } from '#kernel/time';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'user-activity-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Features = Readonly<Record<string, { readonly value: unknown; readonly computed_at: string } | undefined>>;

test('what a user does becomes features: by count, by version, with their lineage, and right again when nothing happens', async () => {
  const platform = await PlatformProcess.start(directory);
  const { gateway, features } = platform.urls;
  const read = async (path: string): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${features}${path}`);
    return { status: answer.status, ...((await answer.json()) as object) };
  };
  const featuresOf = async (user: string, query = ''): Promise<Features> =>
    ((await read(`/features/${user}${query}`)).features ?? {}) as Features;
  const until = async (user: string, isDone: (found: Features) => boolean): Promise<Features> => {
    const giveUpAt = Date.now() + 20_000;
    for (;;) {
      const found = await featuresOf(user);
      if (isDone(found)) return found;
      if (Date.now() > giveUpAt) throw new Error(`not in time: ${JSON.stringify(found)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  // As in the first example of the manual: device_type may be missing.
  const now = Date.now();
  for (let index = 0; index < 50; index += 1) {
    const answer = await fetch(`${gateway}/ingest`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        event_id: `evt_${index}`,
        user_id: 'user_test',
        event_type: 'click',
        ...(index % 2 === 0 ? { device_type: 'mobile' } : {}),
        timestamp: new Date(now - 10_000 + index * 100).toISOString(),
      }),
    });
    expect(answer.status).toBe(202);
  }
  const found = await until('user_test', (seen) => seen.activity_count_1h?.value === 50);
  expect(Object.keys(found).length).toBeGreaterThanOrEqual(15);
  expect(found).toMatchObject({
    is_active_session: { value: true },
    session_event_count: { value: 50 },
    last_event_type: { value: 'click' },
    top_device_type_7d: { value: 'mobile' },
    mobile_ratio_7d: { value: 0.5 },
    purchase_ratio_24h: { value: 0 },
  });
  const [first, second] = [await featuresOf('user_test', '?version=v1'), await featuresOf('user_test', '?version=v2')];
  expect(Object.keys(second)).toEqual(expect.arrayContaining(Object.keys(first)));
  expect(first.top_device_type_7d).toBeUndefined();
  expect(await read('/features/user_test?version=v9')).toMatchObject({ status: 400 });
  const seconds = Number(second.seconds_since_last_event?.value);
  expect(seconds).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(Number((await featuresOf('user_test')).seconds_since_last_event?.value)).toBeGreaterThan(seconds + 0.2);

  // The last thing this user did was 59 minutes and some seconds ago: a session that is over, an hour that runs out as we watch.
  await fetch(`${gateway}/ingest`, {
    method: 'POST',
    body: JSON.stringify({
      event_id: 'old',
      user_id: 'user_gone',
      event_type: 'view',
      timestamp: new Date(now - 62 * MINUTE_MS).toISOString(),
    }),
  });
  const gone = await until('user_gone', (seen) => seen.activity_count_1h?.value === 0);
  expect(gone).toMatchObject({ is_active_session: { value: false }, activity_count_6h: { value: 1 } });

  const lineage = (await read('/lineage/engagement_score')).lineage as readonly { readonly view: string }[];
  expect(lineage.map(({ view }) => view)).toEqual(['user_activity@1', 'user_activity@2']);
  expect(await read('/lineage/nothing')).toMatchObject({ status: 404 });
  const catalog = (await read('/features')).features as readonly { readonly name: string; readonly owner: string }[];
  for (const name of Object.keys(found)) expect(catalog.some((feature) => feature.name === name)).toBe(true);
  expect(await platform.terminate()).toBe(0);
}, 60_000);
