import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { assetPath } from '#kernel/project_root';
import { run } from '#scripts/services/install';
import type { ManagedProcess, RunningServer } from '#scripts/services/managed_process';
import { queryDatabase } from '#scripts/services/query_database';
import { type PostgresOptions, startKafka, startMlflow, startPostgres, startRedis } from '#scripts/services/servers';

const CLI = assetPath('dist/cli/headwater.js');
const RECOVERED_WITHIN_MS = 240_000;

export type Env = Readonly<Record<string, string>>;

/** A folder of its own, the servers in it, and the environment with which the platform finds them. */
export class Region {
  readonly folder: string;
  readonly env: Record<string, string>;
  readonly processes: ManagedProcess[] = [];

  private constructor(folder: string, env: Env) {
    this.folder = folder;
    this.env = { ...env };
  }

  static async make(folder: string, env: Env): Promise<Region> {
    await mkdir(folder);
    for (const part of ['redis', 'postgres', 'mlflow', 'kafka']) await mkdir(join(folder, part));
    return new Region(folder, { ...env, DATA_DIRECTORY: join(folder, 'data') });
  }

  /** Where MLflow keeps artifacts. */
  get artifacts(): string {
    return join(this.folder, 'mlflow/artifacts');
  }

  /** Runs a command of the platform, and returns its output. */
  command(...args: readonly string[]): Promise<string> {
    return run(process.execPath, [CLI, ...args], { cwd: this.folder, env: this.env });
  }

  async startBroker(): Promise<RunningServer> {
    const kafka = await startKafka(join(this.folder, 'kafka'));
    return this.#use(kafka, { KAFKA_BROKERS: kafka.env.TEST_KAFKA_BROKERS as string });
  }

  async startOnline(): Promise<RunningServer> {
    const redis = await startRedis(join(this.folder, 'redis'));
    const { hostname, port } = new URL(redis.env.TEST_REDIS_URL as string);
    return this.#use(redis, { REDIS_HOST: hostname, REDIS_PORT: port });
  }

  /** Starts PostgreSQL, and waits until it may be written, unless it is a standby. */
  async startDatabase(settings: PostgresOptions['settings'] = {}, isStandby = false): Promise<RunningServer> {
    const postgres = await startPostgres(join(this.folder, 'postgres'), { env: this.env, settings });
    const { hostname, port, username } = new URL(postgres.env.TEST_POSTGRES_URL as string);
    this.#use(postgres, {
      ...{ DATABASE_HOST: hostname, DATABASE_PORT: port, DATABASE_USER: username },
      ...{ DATABASE_NAME: 'postgres', DATABASE_PASSWORD: '' },
    });
    if (!isStandby) await this.recovered();
    return postgres;
  }

  /** Waits until PostgreSQL may be written. */
  async recovered(): Promise<void> {
    for (const giveUpAt = Date.now() + RECOVERED_WITHIN_MS; ; ) {
      const [state] = await this.sql<{ readonly recovers: boolean }>('SELECT pg_is_in_recovery() AS recovers').catch(
        () => [],
      );
      if (state?.recovers === false) return;
      if (Date.now() > giveUpAt) throw new Error(`PostgreSQL still recovers after ${RECOVERED_WITHIN_MS / 1_000} s`);
      await sleep(200);
    }
  }

  /** Starts MLflow, which keeps its runs and versions in the same PostgreSQL, in the database `mlflow`. */
  async startModels(): Promise<RunningServer> {
    const { env } = this;
    const server = await startMlflow(join(this.folder, 'mlflow'), {
      backendStore: `postgresql+psycopg2://${env.DATABASE_USER}@${env.DATABASE_HOST}:${env.DATABASE_PORT}/mlflow`,
      artifacts: ['--serve-artifacts', '--artifacts-destination', this.artifacts],
    });
    // A worker of MLflow outlives a killed MLflow.
    return this.#use({ ...server, kill: server.stop }, { MLFLOW_TRACKING_URI: server.env.TEST_MLFLOW_URL as string });
  }

  sql<Row extends pg.QueryResultRow>(text: string, database = 'postgres'): Promise<readonly Row[]> {
    return queryDatabase<Row>(this.env, text, database);
  }

  #use(server: RunningServer, env: Env): RunningServer {
    this.processes.push(server);
    Object.assign(this.env, env);
    return server;
  }
}
