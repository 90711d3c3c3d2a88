import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type JobParts, jobHealth } from '#cli/jobs/job_health';
import { TargetStates } from '#connectors/target_states';
import { createMetricsRegistry } from '#monitoring/metrics';
import { SourceProgress } from '#pipelines/io/source_progress';
import type { PipelineState } from '#pipelines/runner/embedded';

const STALLED_MS = 30_000;

interface Fake {
  nowMs: number;
  state: PipelineState;
  restarts: { timesMs: number[]; lastError: unknown; isWaiting: boolean };
  bundleSinceMs: number | undefined;
}

function createJob() {
  const fake: Fake = {
    nowMs: 1_000_000,
    state: 'running',
    restarts: { timesMs: [], lastError: undefined, isWaiting: false },
    bundleSinceMs: undefined,
  };
  const registry = createMetricsRegistry({ process: false });
  const targets = new TargetStates(registry, () => fake.nowMs);
  const sources = new SourceProgress(registry, () => fake.nowMs);
  const parts: JobParts = { handle: fake, targets, sources };
  const health = () => jobHealth(parts, { nowMs: fake.nowMs, monotonicMs: fake.nowMs }, STALLED_MS);
  return { fake, targets, sources, health, registry };
}

test('a job that runs is up; one that has ended or failed is down; one that has not begun is starting', () => {
  const { fake, health } = createJob();
  expect(health()).toEqual({ status: 'up' });
  for (const state of ['failed', 'stopped', 'done', 'draining'] as const) {
    fake.state = state;
    expect(health().status).toBe('down');
  }
  fake.state = 'starting';
  expect(health().status).toBe('starting');
});

test('one restart degrades, three within minutes are a loop with its newest error, and a quiet job is up again', () => {
  const { fake, health } = createJob();
  const restart = (error: string): void => {
    fake.restarts.timesMs.push(fake.nowMs);
    fake.restarts.lastError = new Error(error);
  };
  restart('first');
  expect(health()).toMatchObject({ status: 'degraded', reason: expect.stringContaining('first') });
  fake.nowMs += 60_000;
  restart('second');
  expect(health().status).toBe('degraded');
  fake.nowMs += 60_000;
  restart('invalid byte sequence for encoding "UTF8": 0x00');
  expect(health()).toMatchObject({
    status: 'down',
    reason: expect.stringMatching(/loop, 3 times.*0x00/),
  });
  fake.nowMs += 301_000;
  expect(health()).toEqual({ status: 'up' });
});

test('however restarts are spread, a job is down exactly while three lie within five minutes', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 10 }), (gaps) => {
      const { fake, health } = createJob();
      const times: number[] = [];
      for (const gap of gaps) {
        fake.nowMs += gap;
        fake.restarts.timesMs.push(fake.nowMs);
        times.push(fake.nowMs);
        const recent = times.filter((time) => fake.nowMs - time <= 300_000).length;
        expect(health().status).toBe(recent >= 3 ? 'down' : 'degraded');
      }
    }),
  );
});

test('a sink that fails degrades, is down after ten seconds with its error, and is up with the next success', async () => {
  const { fake, targets, health, registry } = createJob();
  targets.succeeded('online store');
  targets.failed('online store', new Error('OOM command not allowed'));
  expect(health()).toMatchObject({ status: 'degraded', reason: expect.stringContaining('OOM') });
  fake.nowMs += 10_000;
  targets.failed('online store', new Error('OOM again'));
  expect(health()).toMatchObject({ status: 'down', reason: expect.stringMatching(/online store.*10 s: OOM again/) });
  expect(await registry.metrics()).toContain('delivery_failing_seconds{target="online store"} 10');
  targets.succeeded('online store');
  expect(health()).toEqual({ status: 'up' });
  expect(await registry.metrics()).toContain('delivery_failing_seconds{target="online store"} 0');
});

test('a target that refuses single values degrades; one that refuses all is down', async () => {
  const { fake, targets, health, registry } = createJob();
  for (let value = 0; value < 19; value += 1) targets.refused('offline store', 'bad value');
  expect(health()).toMatchObject({ status: 'degraded', reason: expect.stringContaining('bad value') });
  targets.refused('offline store', 'bad value');
  expect(health()).toMatchObject({ status: 'down', reason: expect.stringContaining('last 20 values: bad value') });
  targets.succeeded('offline store');
  expect(health().status).toBe('degraded');
  fake.nowMs += 300_000;
  expect(health()).toEqual({ status: 'up' });
  expect(await registry.metrics()).toContain('delivery_refused_total{target="offline store"} 20');
});

test('a partition is stalled when reads fail, hang, or return nothing while records wait, and not while a sink holds it up', () => {
  const { fake, sources, health } = createJob();
  const read = (records: number, lag: number): void => {
    sources.reading('raw', '0');
    sources.read('raw', '0', records, lag);
  };
  read(10, 500);
  // Nothing is read while a sink is busy: no stall of the partition.
  fake.nowMs += 3 * STALLED_MS;
  expect(health()).toEqual({ status: 'up' });
  // Nothing to read for long.
  read(500, 0);
  for (let seconds = 0; seconds < 100; seconds += 1) {
    fake.nowMs += 1_000;
    read(0, 0);
  }
  expect(health()).toEqual({ status: 'up' });
  // Reads return nothing although records wait.
  for (let seconds = 0; seconds <= 30; seconds += 1) {
    expect(health()).toEqual({ status: 'up' });
    fake.nowMs += 1_000;
    read(0, 7);
  }
  expect(health()).toMatchObject({ status: 'down', reason: expect.stringMatching(/raw\[0\].*30 s.*7 records wait/) });
  read(7, 0);
  expect(health()).toEqual({ status: 'up' });
  // A read does not return.
  sources.reading('raw', '0');
  fake.nowMs += STALLED_MS;
  expect(health()).toMatchObject({ status: 'down', reason: expect.stringContaining('a read does not return') });
  sources.read('raw', '0', 0, 0);
  // Reads fail, as with a codec that is not known.
  sources.failed('raw', '0', new Error('zstd is not supported'));
  expect(health()).toMatchObject({ status: 'degraded', reason: expect.stringContaining('zstd') });
  fake.nowMs += STALLED_MS;
  sources.reading('raw', '0');
  sources.failed('raw', '0', new Error('zstd is not supported'));
  expect(health()).toMatchObject({ status: 'down', reason: expect.stringContaining('zstd') });
  sources.ended('raw', '0');
  expect(health()).toEqual({ status: 'up' });
});

test('any history of reads: stalled exactly when nothing moved for so long and records waited or reads failed', () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 1, max: 20_000 }),
    what: fc.constantFrom('some', 'none', 'end', 'fails'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const { fake, sources } = createJob();
      // The oracle: since when the partition has been in each bad state without interruption.
      let [emptySince, failingSince] = [undefined, undefined] as (number | undefined)[];
      for (const { afterMs, what } of steps) {
        fake.nowMs += afterMs;
        sources.reading('t', '0');
        if (what === 'fails') {
          sources.failed('t', '0', new Error('away'));
          failingSince ??= fake.nowMs;
        } else {
          sources.read('t', '0', what === 'some' ? 5 : 0, what === 'end' ? 0 : 9);
          failingSince = undefined;
          emptySince = what === 'none' ? (emptySince ?? fake.nowMs) : undefined;
        }
        const since = failingSince ?? emptySince;
        const isStalled = since !== undefined && fake.nowMs - since >= STALLED_MS;
        expect(sources.health(STALLED_MS).status === 'down').toBe(isStalled);
      }
    }),
  );
});

test('a bundle that does not end is named, except while a sink that fails explains it', () => {
  const { fake, targets, health } = createJob();
  fake.bundleSinceMs = fake.nowMs;
  expect(health()).toEqual({ status: 'up' });
  fake.nowMs += STALLED_MS;
  expect(health()).toMatchObject({ status: 'down', reason: expect.stringContaining('bundle has not ended') });
  targets.failed('offline store', new Error('away'));
  expect(health().reason).not.toContain('bundle');
});
