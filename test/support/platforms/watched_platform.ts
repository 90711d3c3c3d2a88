import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { rowKey } from '#feature_store/online/redis/redis_keys';
import type { HealthReport } from '#monitoring/health';
import type { RunningServer } from '#scripts/services/managed_process';
import { startKafka, startMlflow, startPostgres } from '#scripts/services/servers';
import { keyOf } from '../entity_keys.ts';
import { type RedisServer, startRedisServer, until } from '../servers/redis_servers.ts';
import { PlatformProcess } from './platform_process.ts';

export type WatchedRole = 'gateway' | 'pipeline' | 'features' | 'serving' | 'monitor';
type Readiness = HealthReport & { readonly code: number };

interface WatchedServers {
  readonly redis: RedisServer;
  readonly postgres: RunningServer;
  readonly kafka: RunningServer;
  readonly database: pg.Pool;
  /** Where the roles need a registry. */
  readonly mlflow?: RunningServer;
}

/** Rows that are missing do not come any more when none has come for so long. */
const STALLED_MS = 60_000;
const ROLES: readonly WatchedRole[] = ['gateway', 'pipeline', 'features'];

/** A platform with a Kafka, a Redis and a PostgreSQL of its own, for tests that break them and look at its health and at what it keeps. */
export class WatchedPlatform {
  /** Ids of events that were answered 202. */
  readonly accepted: string[] = [];
  readonly platform: PlatformProcess;
  readonly servers: WatchedServers;
  /** Whether the data directory is a disk of its own, of 128 MiB. */
  readonly hasOwnDisk: boolean;
  readonly #folder: string;

  private constructor(folder: string, platform: PlatformProcess, servers: WatchedServers, hasOwnDisk: boolean) {
    this.#folder = folder;
    this.platform = platform;
    this.servers = servers;
    this.hasOwnDisk = hasOwnDisk;
  }

  /** @param prepare - called before the platform starts, where the roles need MLflow, with its address */
  static async start(
    roles: readonly WatchedRole[] = ROLES,
    prepare: (mlflowUrl: string) => Promise<void> = async () => {},
  ): Promise<WatchedPlatform> {
    const folder = mkdtempSync(join(tmpdir(), 'watched-'));
    for (const name of ['postgres', 'kafka', 'mlflow', 'data']) mkdirSync(join(folder, name));
    execFileSync('chmod', ['755', folder]);
    const hasOwnDisk = process.getuid?.() === 0 && mounted(join(folder, 'data'));
    const options = ['--appendonly', 'yes', '--maxmemory-policy', 'noeviction'];
    const redis = await startRedisServer(folder, 'online', options);
    const postgres = await startPostgres(join(folder, 'postgres'));
    const kafka = await startKafka(join(folder, 'kafka'));
    const url = new URL(postgres.env.TEST_POSTGRES_URL as string);
    const database = new pg.Pool({
      ...{ host: url.hostname, port: Number(url.port), database: 'postgres', user: 'headwater' },
    });
    database.on('error', () => {});
    const needsRegistry = roles.includes('serving') || roles.includes('monitor');
    const mlflow = needsRegistry ? await restartableMlflow(join(folder, 'mlflow')) : undefined;
    const mlflowUrl = mlflow?.env.TEST_MLFLOW_URL;
    if (mlflowUrl !== undefined) await prepare(mlflowUrl);
    const platform = await PlatformProcess.start(join(folder, 'data'), {
      ENVIRONMENT: 'services',
      ROLES: roles.join(),
      ...(mlflowUrl === undefined ? {} : { MLFLOW_TRACKING_URI: mlflowUrl }),
      KAFKA_BROKERS: kafka.env.TEST_KAFKA_BROKERS as string,
      REDIS_PORT: String(redis.port),
      DATABASE_HOST: url.hostname,
      DATABASE_PORT: url.port,
      DATABASE_NAME: 'postgres',
      DATABASE_USER: 'headwater',
      HEALTH_STALLED_AFTER: '10s',
    });
    const servers = { redis, postgres, kafka, database, ...(mlflow === undefined ? {} : { mlflow }) };
    return new WatchedPlatform(folder, platform, servers, hasOwnDisk);
  }

  get dataDirectory(): string {
    return join(this.#folder, 'data');
  }

  async stop(): Promise<void> {
    const { redis, postgres, kafka, database, mlflow } = this.servers;
    await this.platform.kill();
    await database.end();
    for (const server of [kafka, postgres, redis, mlflow]) await server?.stop();
    if (this.hasOwnDisk) execFileSync('umount', [this.dataDirectory]);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 500 });
  }

  async ready(role: WatchedRole): Promise<Readiness> {
    const response = await fetch(`${this.platform.urls[role]}/health/ready`);
    return { code: response.status, ...((await response.json()) as HealthReport) };
  }

  /** Waits until a role answers so. @throws an error with the last answer and the end of the log, when it does not */
  async becomes(role: WatchedRole, code: number, reason = /.*/s, withinMs = 60_000): Promise<HealthReport> {
    let last: Readiness | undefined;
    await until(async () => {
      last = await this.ready(role);
      return last.code === code && reason.test(last.reason ?? '');
    }, withinMs).catch(() => {
      throw new Error(
        `${role} did not become ${code} ${reason}: ${JSON.stringify(last)}\n${this.platform.output.slice(-3_000)}`,
      );
    });
    return last as HealthReport;
  }

  /** Sends events, each of an account of its own. */
  async send(count: number, what: string): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const id = `${what}-${this.accepted.length}`;
      const event = {
        ...{
          event_id: id,
          user_id: id,
          account_id: id,
          event_type: 'transaction',
          timestamp: new Date().toISOString(),
        },
        ...{ amount: 10, currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery', country: 'DE' },
      };
      const response = await fetch(`${this.platform.urls.gateway}/ingest`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(event),
      });
      if (response.status === 202) this.accepted.push(id);
      await response.arrayBuffer();
    }
  }

  /** Waits until every accepted event has its row in both stores. @throws an error that names rows that are missing */
  async everythingIsFound(): Promise<void> {
    let fewest = Number.POSITIVE_INFINITY;
    for (let giveUpAt = 0; ; await sleep(200)) {
      const missing = await this.#missing();
      if (missing.length === 0) return;
      // As long as rows come, a slow machine has its time.
      if (missing.length < fewest) giveUpAt = Date.now() + STALLED_MS;
      fewest = Math.min(fewest, missing.length);
      if (Date.now() < giveUpAt) continue;
      throw new Error(
        `${missing.length} rows of ${this.accepted.length} events are missing: ${missing.slice(0, 5)}\n${this.platform.output.slice(-3_000)}`,
      );
    }
  }

  async #missing(): Promise<readonly string[]> {
    const { database, redis } = this.servers;
    const { rows } = await database.query<{ entity_key: string }>(
      `SELECT entity_key FROM feature_rows WHERE view = 'fraud' AND entity_key = ANY($1)`,
      [this.accepted.map((id) => keyOf(id))],
    );
    const offline = new Set(rows.map(({ entity_key: key }) => key));
    const client = new Redis({ host: '127.0.0.1', port: redis.port });
    try {
      const asked = client.pipeline();
      for (const id of this.accepted) asked.exists(rowKey('headwater', FRAUD, keyOf(id)));
      const online = (await asked.exec()) ?? [];
      return this.accepted.filter((id, at) => online[at]?.[1] !== 1 || !offline.has(keyOf(id)));
    } finally {
      client.disconnect();
    }
  }

  async metricsOf(role: WatchedRole): Promise<string> {
    return (await fetch(`${this.platform.urls[role]}/metrics`)).text();
  }
}

/** MLflow ends with its workers: a kill of its first process would leave them, and they would answer. */
async function restartableMlflow(folder: string): Promise<RunningServer> {
  let running = await startMlflow(folder);
  const port = Number(new URL(running.env.TEST_MLFLOW_URL as string).port);
  return {
    ...running,
    stop: () => running.stop(),
    async restart(downMs) {
      await running.stop();
      await sleep(downMs);
      running = await startMlflow(folder, { port });
    },
  };
}

const FRAUD = { view: 'fraud', version: 1 };

function mounted(directory: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128m', 'tmpfs', directory]);
    return true;
  } catch {
    // A container without the right to mount: tests leave the disk out.
    return false;
  }
}
