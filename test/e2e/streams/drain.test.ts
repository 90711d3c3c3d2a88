import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { HOUR_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'drain-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const CONNECTIONS = 16;

test('told to stop under load, the gateway finishes what it has taken: accepted is what the log holds', async () => {
  const platform = await PlatformProcess.start(directory);
  const events = generateTransactions({
    seed: 5,
    events: 20_000,
    accounts: 50,
    days: 1,
    endMs: Math.floor(Date.now() / HOUR_MS) * HOUR_MS - HOUR_MS,
  }).filter(({ arrival }) => arrival !== 'invalid');
  const accepted = new Set<string>();
  let refused = 0;
  let isStopping = false;
  const client = async (): Promise<void> => {
    for (let event = events.shift(); event !== undefined; event = events.shift()) {
      try {
        const answer = await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: event.body });
        const { status } = (await answer.json()) as { status?: string };
        if (status === 'accepted' || status === 'duplicate') accepted.add(event.eventId);
        else refused += 1;
      } catch {
        // Not taken: the connection was closed before it was answered. Nothing else may happen to it.
        if (isStopping) return;
        throw new Error('a request failed before anybody was told to stop');
      }
    }
  };
  const clients = Promise.all(Array.from({ length: CONNECTIONS }, client));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  isStopping = true;
  const startedMs = Date.now();
  await platform.terminate();
  expect(Date.now() - startedMs).toBeLessThan(20_000);
  await clients;
  expect(accepted.size).toBeGreaterThan(100);
  expect(events.length).toBeGreaterThan(0);

  const log = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  await log.start();
  const produced = new Map<string, number>();
  const { signal } = new AbortController();
  for (const partition of await log.listPartitions('raw-events')) {
    const reader = await log.openPartition('raw-events', partition, { startAt: 'earliest' });
    do {
      for (const { value } of await reader.poll({ maxRecords: 1_000, maxWaitMs: 0, signal })) {
        const { event_id: id } = JSON.parse(value.toString()) as { event_id: string };
        produced.set(id, (produced.get(id) ?? 0) + 1);
      }
    } while (reader.lagRecords() > 0n);
    await reader.close();
  }
  await log.stop();
  const missing = [...accepted].filter((id) => !produced.has(id));
  expect(missing).toEqual([]);
  // Answered or cut off while answering: at most one for each connection was produced without being known as accepted.
  expect(produced.size - accepted.size).toBeLessThanOrEqual(CONNECTIONS);
  expect([...produced.values()].every((count) => count === 1)).toBe(true);
  expect(refused).toBeLessThan(200);
}, 60_000);
