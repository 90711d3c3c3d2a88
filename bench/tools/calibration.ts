import { join } from 'node:path';
import autocannon from 'autocannon';
import type { PostgresConfig } from '#connectors/postgres/config';
import { copyIn } from '#connectors/postgres/copy_in';
import { createPostgresPool } from '#connectors/postgres/pool';
import { createRedis } from '#connectors/redis/client';
import type { RedisConfig } from '#connectors/redis/config';
import { projectRoot } from '#kernel/project_root';
import { silentLogger } from '#monitoring/log';
import { eventOf } from '../workloads/engine_workload.ts';
import { report } from './result.ts';
import { startServerProcess } from './server_process.ts';

/** What a machine does without the platform, a second: floors are for the machine of {@link REFERENCE}, and smaller on a slower one. */
export interface Calibration {
  /** Requests of a bare Fastify. */
  readonly http: number;
  /** Events of a bare loop that sums by key. */
  readonly loop: number;
  /** Values that ioredis reads, 32 at a time. */
  readonly reads: number;
  /** Rows of 31 doubles that COPY writes. */
  readonly copies: number;
}

const REFERENCE: Calibration = { http: 40_000, loop: 30e6, reads: 66_000, copies: 70_000 };

/** Returns what a floor is multiplied with on this machine: by the figure that limits the path, and never above 1. */
export const shareOf = (measured: Partial<Calibration>): number =>
  Math.min(1, ...Object.entries(measured).map(([name, value]) => value / REFERENCE[name as keyof Calibration]));

/** Measures and reports. */
export async function calibrate(
  bench: string,
  { redis, postgres }: { readonly redis: RedisConfig; readonly postgres: PostgresConfig },
): Promise<Calibration> {
  const measured: Calibration = {
    loop: bareLoop(),
    http: await bareRequests(),
    reads: await bareReads(redis),
    copies: await bareCopies(postgres),
  };
  const units = { loop: 'events/s', http: 'requests/s', reads: 'reads/s', copies: 'rows/s' } as const;
  for (const [name, unit] of Object.entries(units)) {
    const value = measured[name as keyof Calibration];
    report({ bench, case: `calibration: ${name}`, metric: 'throughput', value, unit });
  }
  return measured;
}

/** In CPU time: other work on the machine does not make it slower. */
export function bareLoop(): number {
  const EVENTS = 10_000_000;
  let best = 0;
  for (let round = 0; round < 3; round += 1) {
    const sums = new Map<number, number>();
    const begin = process.cpuUsage();
    for (let index = 0; index < EVENTS; index += 1) {
      const { key, amount } = eventOf(index);
      sums.set(key, (sums.get(key) ?? 0) + amount);
    }
    const { user, system } = process.cpuUsage(begin);
    best = Math.max(best, (EVENTS / (user + system)) * 1e6);
  }
  return best;
}

async function bareRequests(): Promise<number> {
  const server = await startServerProcess(join(projectRoot, 'dist', 'bench', 'tools', 'bare_fastify.js'), []);
  try {
    const shot = { url: `${server.url}/ingest`, method: 'POST' as const, body: '{}', connections: 32, workers: 1 };
    await autocannon({ ...shot, duration: 1 });
    return (await autocannon({ ...shot, duration: 3 })).requests.average;
  } finally {
    await server.stop();
  }
}

async function bareReads(config: RedisConfig): Promise<number> {
  const [READS, AT_ONCE] = [60_000, 32];
  const redis = createRedis(config, silentLogger);
  await redis.connect();
  await redis.set('bench-calibration', 'x'.repeat(150), 'PX', 600_000);
  const begin = performance.now();
  for (let read = 0; read < READS; read += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => redis.get('bench-calibration')));
  }
  const seconds = (performance.now() - begin) / 1_000;
  redis.disconnect();
  return READS / seconds;
}

async function bareCopies(config: PostgresConfig): Promise<number> {
  const [ROWS, A_COPY, COLUMNS] = [40_000, 2_000, 31];
  const pool = createPostgresPool({ ...config, maxConnections: 1 }, silentLogger);
  const client = await pool.connect();
  try {
    const columns = Array.from({ length: COLUMNS }, (_, index) => `c${index} double precision`);
    await client.query(`CREATE TEMPORARY TABLE calibration (entity text, at timestamptz, ${columns})`);
    const rows = Array.from({ length: A_COPY }, (_, row) => {
      const values = Array.from({ length: COLUMNS }, (__, column) => Math.sqrt(row * COLUMNS + column));
      return `account:${row}\t2026-11-28T12:00:00.000Z\t${values.join('\t')}\n`;
    }).join('');
    const begin = performance.now();
    for (let copied = 0; copied < ROWS; copied += A_COPY) await copyIn(client, 'COPY calibration FROM STDIN', rows);
    return (ROWS / (performance.now() - begin)) * 1_000;
  } finally {
    client.release(true);
    await pool.end();
  }
}
