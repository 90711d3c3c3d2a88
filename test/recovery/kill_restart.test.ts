import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { type GeneratedEvent, generateTransactions } from '#examples/fraud/transaction_generator';
import { HOUR_MS } from '#kernel/time';
import { PlatformProcess } from '../support/platforms/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'kill-restart-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const KILLS = 3;
const CONNECTIONS = 8;
const generator = {
  seed: 11,
  events: 6_000,
  accounts: 60,
  days: 1,
  endMs: Math.floor(Date.now() / HOUR_MS) * HOUR_MS - HOUR_MS,
};

/** Everything a client still has to get accepted, in order; what was not answered is sent again, as a good client does. */
async function send(
  platform: PlatformProcess,
  queue: GeneratedEvent[],
  accepted: Map<string, GeneratedEvent>,
  stopAt: number,
) {
  let answered = 0;
  const client = async (): Promise<void> => {
    while (queue.length > 0 && answered < stopAt) {
      const event = queue.shift() as GeneratedEvent;
      try {
        const answer = await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: event.body });
        const { status } = (await answer.json()) as { status?: string };
        if (answer.status === 503) throw new Error('unavailable');
        if (status === 'accepted' || status === 'duplicate') accepted.set(event.eventId, event);
        answered += 1;
        if (answered === stopAt) void platform.kill();
      } catch {
        queue.unshift(event);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
}

test('killed again and again under load: no accepted event is lost, none is counted twice', async () => {
  const queue = generateTransactions(generator).filter(({ arrival }) => arrival !== 'too_late');
  const perRun = Math.floor(queue.length / (KILLS + 1));
  const accepted = new Map<string, GeneratedEvent>();
  for (let kill = 0; kill < KILLS; kill += 1) {
    const platform = await PlatformProcess.start(directory);
    await send(platform, queue, accepted, perRun + kill * 37);
    await platform.kill();
  }
  const platform = await PlatformProcess.start(directory);
  await send(platform, queue, accepted, Number.POSITIVE_INFINITY);
  expect(queue).toHaveLength(0);

  // One more event for each account, later than all others: its row counts everything before it.
  const perAccount = new Map<string, { count: number; sum: number }>();
  for (const { accountId, body } of accepted.values()) {
    const { amount } = JSON.parse(body) as { amount: number };
    const totals = perAccount.get(accountId) ?? { count: 0, sum: 0 };
    perAccount.set(accountId, { count: totals.count + 1, sum: totals.sum + amount });
  }
  const closing = [...perAccount.keys()].map((accountId) => ({
    event_id: `closing-${accountId}`,
    user_id: accountId.replace('acct', 'user'),
    event_type: 'transaction',
    timestamp: new Date(generator.endMs + HOUR_MS / 2).toISOString(),
    account_id: accountId,
    amount: 1,
    currency: 'EUR',
    merchant_id: 'm_closing',
    merchant_category: 'grocery',
    country: 'DE',
  }));
  const answer = await fetch(`${platform.urls.gateway}/ingest/batch`, {
    method: 'POST',
    body: closing.map((event) => JSON.stringify(event)).join('\n'),
  });
  expect(await answer.json()).toMatchObject({ accepted: closing.length, rejected: 0 });

  for (const [accountId, { count, sum }] of perAccount) {
    const features = await featuresAsOfClosing(platform, accountId);
    expect({ accountId, count: features.count_7d?.value }).toEqual({ accountId, count: count + 1 });
    expect(features.sum_amount_7d?.value).toBeCloseTo(sum + 1, 3);
  }
  expect(await platform.terminate()).toBe(0);
  expect(platform.output).toContain('SIGTERM: draining');
}, 180_000);

type Features = Record<string, { value: unknown } | undefined>;

async function featuresAsOfClosing(platform: PlatformProcess, accountId: string): Promise<Features> {
  const giveUpAt = Date.now() + 30_000;
  for (;;) {
    const answer = await fetch(`${platform.urls.features}/features/${accountId}`);
    const { features } = (await answer.json()) as { features?: Features };
    // The closing row is the only one with this amount at this hour.
    if (features?.amount?.value === 1 && features.merchant_category?.value === 'grocery') return features;
    if (Date.now() > giveUpAt)
      throw new Error(`the closing event of ${accountId} has not arrived: ${JSON.stringify(features)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
