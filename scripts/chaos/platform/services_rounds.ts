import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import type { PlatformConfig } from '#cli/project/config/platform_config';
import { loadProject } from '#cli/project/project';
import type { Role } from '#cli/terminal/choices';
import { createBroker } from '#connectors/catalog';
import type { Broker } from '#connectors/connector';
import { createRedis } from '#connectors/redis/client';
import type { OnlineStore } from '#feature_store/online/online_store';
import { createOnlineStore } from '#feature_store/stores';
import { projectRoot } from '#kernel/project_root';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import type { ManagedProcess, RunningServer } from '../../services/managed_process.ts';
import { startRoles } from '../../services/roles.ts';
import { startKafka, startPostgres, startRedis } from '../../services/servers.ts';
import { CardEvents } from './card_events.ts';
import type { Round } from './component_rounds.ts';
import type { Outcome } from './outcome.ts';

// Rounds on the whole platform with real servers: every role a process of its own, on Kafka, Redis and PostgreSQL. All are started once.

const ROLES_RUN: readonly Role[] = ['gateway', 'pipeline', 'features', 'serving', 'monitor'];

export type ServerName = 'kafka' | 'redis' | 'postgres';

export class ServicesPlatform {
  readonly #folder: string;
  readonly #servers: Readonly<Record<ServerName, RunningServer>>;
  readonly #roles: Readonly<Record<Role, ManagedProcess>>;
  readonly #gateway: string;
  readonly #config: PlatformConfig;
  readonly #online: OnlineStore;
  readonly #offline: OfflineDatabase;
  readonly #broker: Broker;
  #rounds = 0;

  private constructor(parts: {
    folder: string;
    servers: Readonly<Record<ServerName, RunningServer>>;
    roles: Readonly<Record<Role, ManagedProcess>>;
    gateway: string;
    config: PlatformConfig;
    online: OnlineStore;
    offline: OfflineDatabase;
    broker: Broker;
  }) {
    this.#folder = parts.folder;
    this.#servers = parts.servers;
    this.#roles = parts.roles;
    this.#gateway = parts.gateway;
    this.#config = parts.config;
    this.#online = parts.online;
    this.#offline = parts.offline;
    this.#broker = parts.broker;
  }

  static async start(): Promise<ServicesPlatform> {
    const folder = mkdtempSync(join(tmpdir(), 'chaos-services-'));
    // PostgreSQL runs as another user.
    chmodSync(folder, 0o755);
    for (const name of ['redis', 'postgres', 'kafka']) mkdirSync(join(folder, name));
    const [redis, postgres, kafka] = [
      await startRedis(join(folder, 'redis')),
      await startPostgres(join(folder, 'postgres')),
      await startKafka(join(folder, 'kafka')),
    ];
    const redisUrl = new URL(redis.env.TEST_REDIS_URL as string);
    const postgresUrl = new URL(postgres.env.TEST_POSTGRES_URL as string);
    const env = {
      ...{ ENVIRONMENT: 'services', NODE_OPTIONS: '', NODE_NO_WARNINGS: '1', LOG_LEVEL: 'warn' },
      ...{
        KAFKA_BROKERS: kafka.env.TEST_KAFKA_BROKERS as string,
        REDIS_HOST: redisUrl.hostname,
        REDIS_PORT: redisUrl.port,
      },
      ...{ DATABASE_HOST: postgresUrl.hostname, DATABASE_PORT: postgresUrl.port, DATABASE_USER: postgresUrl.username },
      ...{ DATABASE_NAME: 'postgres', DATABASE_PASSWORD: '' },
      // Models are none of these rounds.
      MLFLOW_TRACKING_URI: 'http://127.0.0.1:9',
    };
    const { roles, ports } = await startRoles(folder, env, ROLES_RUN, { serving: '/health/live' });
    const data = { DATA_DIRECTORY: join(folder, 'data'), HEADWATER_PROJECT: projectRoot };
    const config = await loadProject({ ...env, ...data });
    const deps = { log: silentLogger, clock: systemClock, views: config.catalog.views };
    const online = createOnlineStore(deps, config.onlineStore);
    const offline = createOfflineDatabase(deps, config.offlineStore);
    const broker = await createBroker(deps, config.broker);
    const { signal } = new AbortController();
    for (const part of [online, offline, broker]) await part.start(signal);
    const gateway = `http://127.0.0.1:${ports.gateway}`;
    return new ServicesPlatform({
      folder,
      servers: { redis, postgres, kafka },
      roles,
      gateway,
      config,
      online,
      offline,
      broker,
    });
  }

  /** Events come in while something happens; when it is over, everything that was accepted is looked for. */
  async round(happen: () => Promise<string>, { random, note }: Round): Promise<Outcome> {
    const events = new CardEvents(`s${this.#rounds++}-${random.between(0, 1e6)}`, random);
    const gateway = (): string => this.#gateway;
    const sending = events.send(gateway);
    sending.catch(() => {});
    await sleep(random.between(0, 200));
    note(await happen());
    await sending;
    await events.send(gateway, 1 / 8);
    const outcome = await events.look({ online: this.#online, offline: this.#offline });
    if (outcome.lost > 0) note(this.#logs());
    return outcome;
  }

  #logs(): string {
    return ['gateway', 'pipeline']
      .map((role) => readFileSync(join(this.#folder, `${role}.log`), 'utf8').slice(-800))
      .join('\n');
  }

  role(name: Role): ManagedProcess {
    return this.#roles[name];
  }

  server(name: ServerName): RunningServer {
    return this.#servers[name];
  }

  /** Removes everything from Redis, as an operator's FLUSHALL or an empty failover does. */
  async flushRedis(): Promise<void> {
    const { onlineStore } = this.#config;
    if (onlineStore.kind !== 'redis') return;
    const { kind: _, keyPrefix: __, refill: ___, ...redis } = onlineStore;
    const client = createRedis(redis, silentLogger);
    await (client as unknown as { flushall(): Promise<unknown> }).flushall();
    client.disconnect();
  }

  /** Puts records that no client could have sent into the topic of raw events. */
  async poison(values: readonly string[]): Promise<void> {
    await this.#broker.producer.send(
      this.#config.topics.rawEvents,
      values.map((value, at) => ({ key: `poison-${at}`, value })),
    );
  }

  async stop(): Promise<void> {
    for (const part of [this.#broker, this.#online, this.#offline]) await part.stop();
    await Promise.all(Object.values(this.#roles).map((role) => role.stop()));
    for (const server of Object.values(this.#servers)) await server.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The one platform that all rounds share, one round at a time. */
export class SharedServices {
  #platform: Promise<ServicesPlatform> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  round(happen: (platform: ServicesPlatform) => Promise<string>, round: Round): Promise<Outcome> {
    const done = this.#turn.then(async () => {
      this.#platform ??= ServicesPlatform.start();
      const platform = await this.#platform;
      return platform.round(() => happen(platform), round);
    });
    this.#turn = done.catch(() => {});
    return done;
  }

  async stop(): Promise<void> {
    await this.#turn;
    await (await this.#platform?.catch(() => undefined))?.stop();
  }
}
