import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { assetPath } from '#kernel/project_root';
import { startFlinkJobServer, startPrism } from './beam_runners.ts';
import { cacheFolder, ensureDebianPackages, ensureMaven, once, run } from './install.ts';
import {
  acceptsConnections,
  freePort,
  type ManagedProcess,
  type RunningServer,
  type StartServer,
  startProcess,
} from './managed_process.ts';

const POSTGRES_BIN = '/usr/lib/postgresql/15/bin';
const REDIS_BIN = '/usr/bin/redis-server';
const MLFLOW_PACKAGES = [
  ...['mlflow==3.17.2', 'onnx==1.23.2', 'onnxruntime==1.31.1'],
  // For servers that keep their data in PostgreSQL and S3.
  ...['psycopg2-binary==2.9.13', 'boto3==1.44.5'],
];
const CHROMIUM = '/usr/bin/chromium';
const PROMETHEUS_FILES = ['/usr/bin/prometheus', '/usr/bin/prometheus-alertmanager'];
const KAFKA_CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM2Qg';

export interface KafkaOptions {
  /** The address that clients get, when that is a proxy before it. */
  readonly advertisedPort?: number;
  /** Settings that come on top; `$PORT` is another free port. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Users with SCRAM-SHA-256, as `name=alice,password=secret`. */
  readonly scramUsers?: readonly string[];
}

export async function startKafka(folder: string, options: KafkaOptions = {}): Promise<RunningServer> {
  const { advertisedPort, scramUsers = [] } = options;
  const jars = join(cacheFolder, 'kafka-4.1.2');
  await once(jars, 'fetching Kafka 4.1.2', async () => {
    await ensureMaven();
    const pom = assetPath('scripts/services/kafka_pom.xml');
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`]);
  });
  const [port, controller] = [await freePort(), await freePort()];
  const properties = join(folder, 'server.properties');
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${advertisedPort ?? port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(folder, 'logs'),
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '4',
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
  };
  const extra = String(await freePort());
  const all = Object.entries({ ...settings, ...options.settings });
  const lines = all.map(
    ([key, value]) =>
      `${key}=${value.replaceAll('$PORT', extra).replaceAll('$PLAIN', String(port)).replaceAll('$CONTROLLER', String(controller))}`,
  );
  await writeFile(properties, `${lines.join('\n')}\n`);
  const java = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', `${jars}/*`];
  await run('java', [
    '-Xmx128m',
    ...java,
    'kafka.tools.StorageTool',
    'format',
    '-t',
    KAFKA_CLUSTER_ID,
    '-c',
    properties,
    ...scramUsers.flatMap((user) => ['--add-scram', `SCRAM-SHA-256=[${user}]`]),
  ]);
  const server = await startProcess({
    name: 'Kafka',
    command: 'java',
    args: ['-Xms128m', '-Xmx384m', ...java, 'kafka.Kafka', properties],
    logFile: join(folder, 'server.log'),
    isReady: () => acceptsConnections(port),
    readyWithinMs: 60_000,
  });
  return { ...server, env: { TEST_KAFKA_BROKERS: `127.0.0.1:${port}`, TEST_KAFKA_EXTRA_PORT: extra } };
}

export interface PostgresOptions {
  /** Settings that come on top. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Of the server's process, and of the commands that it runs. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A data directory that is in the folder already is started as it is. */
export async function startPostgres(folder: string, options: PostgresOptions = {}): Promise<RunningServer> {
  await ensureDebianPackages(['postgresql-15'], [`${POSTGRES_BIN}/postgres`]);
  const port = await freePort();
  const data = join(folder, 'data');
  const isNew = !existsSync(data);
  if (isNew) await mkdir(data);
  // PostgreSQL refuses to run as root.
  const asRoot = process.getuid?.() === 0;
  if (asRoot) await run('chown', ['-R', 'postgres', folder]);
  const as = (command: string, args: readonly string[]): [string, string[]] =>
    asRoot
      ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', command, ...args]]
      : [command, [...args]];
  if (isNew) await run(...as(`${POSTGRES_BIN}/initdb`, ['-D', data, '-A', 'trust', '-N', '-U', 'headwater']));
  const [command, args] = as(`${POSTGRES_BIN}/postgres`, [
    '-D',
    data,
    '-p',
    String(port),
    '-h',
    '127.0.0.1',
    '-k',
    '/tmp',
    '-F',
    // Counts statements, for tests of how many there are.
    '-c',
    'shared_preload_libraries=pg_stat_statements',
    ...Object.entries(options.settings ?? {}).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  const server = await startProcess({
    name: 'PostgreSQL',
    command,
    args,
    ...(options.env === undefined ? {} : { env: options.env }),
    logFile: join(cacheFolder, 'postgres.log'),
    isReady: async () => {
      await run(`${POSTGRES_BIN}/pg_isready`, ['-h', '127.0.0.1', '-p', String(port)]);
      return true;
    },
    readyWithinMs: 30_000,
    stopSignal: 'SIGINT',
  });
  return { ...server, env: { TEST_POSTGRES_URL: `postgres://headwater@127.0.0.1:${port}/postgres` } };
}

function redisProcess(folder: string, port: number, args: readonly string[] = []): Promise<ManagedProcess> {
  return startProcess({
    name: 'Redis',
    command: REDIS_BIN,
    args: ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', ...args],
    logFile: join(folder, 'server.log'),
    isReady: () => acceptsConnections(port),
    readyWithinMs: 15_000,
  });
}

export async function startRedis(folder: string): Promise<RunningServer> {
  await ensureDebianPackages(['redis-server'], [REDIS_BIN]);
  const port = await freePort();
  const server = await redisProcess(folder, port);
  return { ...server, env: { TEST_REDIS_URL: `redis://127.0.0.1:${port}` } };
}

const CLUSTER_NODES = 3;
const CLUSTER_SLOTS = 16_384;
const CLUSTER_JOINS_WITHIN_MS = 60_000;

/** Three masters, no replicas. */
export async function startRedisCluster(folder: string): Promise<RunningServer> {
  await ensureDebianPackages(['redis-server'], [REDIS_BIN]);
  const nodes: { readonly port: number; readonly bus: number; readonly process: ManagedProcess }[] = [];
  for (let node = 0; node < CLUSTER_NODES; node += 1) {
    const [port, bus] = [await freePort(), await freePort()];
    const own = join(folder, String(node));
    await mkdir(own);
    const cluster = ['--cluster-enabled', 'yes', '--cluster-port', String(bus), '--save', ''];
    nodes.push({ port, bus, process: await redisProcess(own, port, cluster) });
  }
  const ask = (port: number, ...command: (string | number)[]): Promise<string> =>
    run('redis-cli', ['-p', String(port), 'cluster', ...command.map(String)]);
  for (const [index, { port }] of nodes.entries()) {
    const slotOf = (node: number): number => Math.floor((node * CLUSTER_SLOTS) / CLUSTER_NODES);
    await ask(port, 'addslotsrange', slotOf(index), slotOf(index + 1) - 1);
    await ask(port, 'set-config-epoch', index + 1);
  }
  // Again and again: on a busy machine a handshake may run out, which redis-cli --cluster create waits for for ever.
  const [first] = nodes as [(typeof nodes)[number]];
  const giveUpAt = Date.now() + CLUSTER_JOINS_WITHIN_MS;
  for (;;) {
    const states = await Promise.all(nodes.map(({ port }) => ask(port, 'info')));
    if (states.every((state) => state.includes('cluster_state:ok') && /cluster_known_nodes:3\b/.test(state))) break;
    if (Date.now() > giveUpAt) throw new Error(`the Redis nodes have not become a cluster:\n${states.join('\n')}`);
    for (const { port, bus } of nodes.slice(1)) await ask(first.port, 'meet', '127.0.0.1', port, bus);
    await sleep(1_000);
  }
  return {
    env: { TEST_REDIS_CLUSTER: nodes.map(({ port }) => `127.0.0.1:${port}`).join(',') },
    stop: async () => void (await Promise.all(nodes.map(({ process: server }) => server.stop()))),
    kill: async () => void (await Promise.all(nodes.map(({ process: server }) => server.kill()))),
    restart: async (downMs) => void (await Promise.all(nodes.map(({ process: server }) => server.restart(downMs)))),
    pause: async (downMs) => void (await Promise.all(nodes.map(({ process: server }) => server.pause(downMs)))),
  };
}

export interface MlflowOptions {
  /** A free one without. */
  readonly port?: number;
  /** SQLAlchemy's URI of its database; SQLite in the folder without. */
  readonly backendStore?: string;
  /** How it keeps artifacts; in the folder, served by itself, without. */
  readonly artifacts?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export async function startMlflow(folder: string, options: MlflowOptions = {}): Promise<RunningServer> {
  const venv = join(cacheFolder, 'mlflow-3.17.2-postgres-s3');
  await once(venv, 'installing MLflow 3.17.2', async () => {
    await run('python3', ['-m', 'venv', venv]);
    await run(join(venv, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...MLFLOW_PACKAGES]);
  });
  const port = options.port ?? (await freePort());
  const {
    backendStore = `sqlite:///${folder}/mlflow.db`,
    artifacts = ['--serve-artifacts', '--artifacts-destination', join(folder, 'artifacts')],
  } = options;
  const server = await startProcess({
    name: 'MLflow',
    command: join(venv, 'bin', 'mlflow'),
    args: [
      'server',
      ...['--host', '127.0.0.1', '--port', String(port), '--workers', '1'],
      ...['--backend-store-uri', backendStore, ...artifacts],
    ],
    cwd: folder,
    // MLflow's own jobs are five more processes, and on a busy machine they end the server before it is ready.
    env: { MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false', ...options.env },
    logFile: join(folder, 'server.log'),
    isReady: async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok,
    readyWithinMs: 120_000,
  });
  return {
    ...server,
    env: { TEST_MLFLOW_URL: `http://127.0.0.1:${port}`, TEST_MLFLOW_PYTHON: join(venv, 'bin', 'python') },
  };
}

/** No server: what tests start themselves. */
const installed = (env: Readonly<Record<string, string>>): RunningServer => ({
  env,
  stop: async () => {},
  kill: async () => {},
  restart: async () => {},
  pause: async () => {},
});

/** A browser for tests of user interfaces. */
async function installChromium(): Promise<RunningServer> {
  await ensureDebianPackages(['chromium'], [CHROMIUM]);
  return installed({ TEST_CHROMIUM: CHROMIUM });
}

/** Prometheus and Alertmanager, with promtool and amtool. */
async function installPrometheus(): Promise<RunningServer> {
  await ensureDebianPackages(['prometheus', 'prometheus-alertmanager'], PROMETHEUS_FILES);
  return installed({ TEST_PROMETHEUS: '/usr/bin/prometheus', TEST_ALERTMANAGER: '/usr/bin/prometheus-alertmanager' });
}

/** The AWS SDK's own protocol, shards that split and merge; it neither throttles nor expires iterators. */
async function startKinesis(folder: string): Promise<RunningServer> {
  const [port, tlsPort] = [await freePort(), await freePort()];
  const server = await startProcess({
    name: 'Kinesis (kinesis-local)',
    command: process.execPath,
    args: ['main.js'],
    // It reads its settings from where it is.
    cwd: assetPath('node_modules/kinesis-local'),
    env: {
      KINESIS_MOCK_PLAIN_PORT: String(port),
      KINESIS_MOCK_TLS_PORT: String(tlsPort),
      LOG_LEVEL: 'WARN',
      SHARD_LIMIT: '500',
      CREATE_STREAM_DURATION: '50ms',
      SPLIT_SHARD_DURATION: '50ms',
      MERGE_SHARDS_DURATION: '50ms',
      REGISTER_STREAM_CONSUMER_DURATION: '50ms',
    },
    logFile: join(folder, 'server.log'),
    isReady: () => acceptsConnections(port),
    readyWithinMs: 30_000,
  });
  return { ...server, env: { TEST_KINESIS_ENDPOINT: `http://127.0.0.1:${port}` } };
}

const MOTO_VERSION = '5.2.5';

/** moto's DynamoDB: conditions, batches with unprocessed keys beyond 16 MB, indexes; it expires no items and throttles nothing. */
async function startDynamoDb(folder: string): Promise<RunningServer> {
  const venv = join(cacheFolder, `moto-dynamodb-${MOTO_VERSION}`);
  await once(venv, `installing moto ${MOTO_VERSION}`, async () => {
    await run('python3', ['-m', 'venv', venv]);
    const pip = join(venv, 'bin', 'pip');
    await run(pip, ['install', '-q', '--disable-pip-version-check', `moto[server,dynamodb]==${MOTO_VERSION}`]);
  });
  const port = await freePort();
  const server = await startProcess({
    name: 'DynamoDB (moto)',
    command: join(venv, 'bin', 'python'),
    args: [assetPath('scripts/services/moto_server.py'), String(port)],
    logFile: join(folder, 'server.log'),
    isReady: () => acceptsConnections(port),
    readyWithinMs: 60_000,
  });
  return { ...server, env: { TEST_DYNAMODB_ENDPOINT: `http://127.0.0.1:${port}` } };
}

const PSTEST_MODULE = 'cloud.google.com/go/pubsub/v2';
const PSTEST_VERSION = 'v2.6.0';

/** Google's fake, built from its sources with a patch: seek keeps messages, ordering does not wait for acknowledgements, and it is faster. */
async function startPubSub(folder: string): Promise<RunningServer> {
  const built = join(cacheFolder, `pstest-${PSTEST_VERSION}`);
  const sources = assetPath('scripts/services/pstest');
  await once(built, `building the Pub/Sub fake ${PSTEST_VERSION}`, async () => {
    const go = { cwd: built, env: { GOFLAGS: '-mod=mod', CGO_ENABLED: '0' } };
    await mkdir(built, { recursive: true });
    await copyFile(join(sources, 'main.go'), join(built, 'main.go'));
    const require = `require ${PSTEST_MODULE} ${PSTEST_VERSION}`;
    await writeFile(join(built, 'go.mod'), `module headwater/pstest\n\ngo 1.25\n\n${require}\n`);
    await run('go', ['mod', 'download', PSTEST_MODULE], go);
    const folderOfModule = await run('go', ['list', '-m', '-f', '{{.Dir}}', PSTEST_MODULE], go);
    await cp(folderOfModule.trim(), join(built, 'pubsub'), { recursive: true });
    await run('chmod', ['-R', 'u+w', join(built, 'pubsub')]);
    await run('patch', ['-s', join(built, 'pubsub/pstest/fake.go'), join(sources, 'fake.patch')]);
    await run('go', ['mod', 'edit', '-replace', `${PSTEST_MODULE}=./pubsub`], go);
    await run('go', ['build', '-buildvcs=false', '-trimpath', '-o', 'pstest', '.'], go);
  });
  const port = await freePort();
  const server = await startProcess({
    name: 'Pub/Sub (pstest)',
    command: join(built, 'pstest'),
    args: ['-port', String(port)],
    logFile: join(folder, 'server.log'),
    isReady: () => acceptsConnections(port),
    readyWithinMs: 30_000,
  });
  return { ...server, env: { TEST_PUBSUB_ADDRESS: `127.0.0.1:${port}` } };
}

const S3_VERSION = 'v1.8.0';
const S3_KEYS = { access: 'headwater', secret: 'headwater-secret' };

/** Versity's S3 gateway over a folder, with versions. */
async function startS3(folder: string): Promise<RunningServer> {
  const built = join(cacheFolder, `versitygw-${S3_VERSION}`);
  await once(built, `building the S3 server ${S3_VERSION}`, async () => {
    await run('go', ['install', '-trimpath', `github.com/versity/versitygw/cmd/versitygw@${S3_VERSION}`], {
      env: { GOBIN: built, GOFLAGS: '-mod=mod', CGO_ENABLED: '0' },
    });
  });
  const port = await freePort();
  const [data, versions] = [join(folder, 'data'), join(folder, 'versions')];
  for (const each of [data, versions]) await mkdir(each);
  const server = await startProcess({
    name: 'S3 (versitygw)',
    command: join(built, 'versitygw'),
    args: [
      ...['--port', `127.0.0.1:${port}`, '--access', S3_KEYS.access, '--secret', S3_KEYS.secret],
      ...['posix', '--versioning-dir', versions, data],
    ],
    logFile: join(folder, 'server.log'),
    isReady: () => acceptsConnections(port),
    readyWithinMs: 30_000,
  });
  const env = {
    TEST_S3_ENDPOINT: `http://127.0.0.1:${port}`,
    TEST_S3_ACCESS_KEY: S3_KEYS.access,
    TEST_S3_SECRET_KEY: S3_KEYS.secret,
  };
  return { ...server, env };
}

/** The real servers of the integration tests. */
export const SERVERS: Readonly<Record<string, StartServer>> = {
  kafka: (folder) => startKafka(folder),
  redis: startRedis,
  postgres: startPostgres,
  mlflow: (folder) => startMlflow(folder),
  chromium: installChromium,
  prometheus: installPrometheus,
  kinesis: startKinesis,
  pubsub: startPubSub,
  dynamodb: startDynamoDb,
  s3: startS3,
  prism: startPrism,
  flink: startFlinkJobServer,
};
