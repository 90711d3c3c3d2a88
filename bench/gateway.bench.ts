import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '#kernel/project_root';
import { startServers } from '#scripts/services/start_all';
import { type PredictResult, runTraffic } from './tools/predict_traffic.ts';
import { withBuiltReference } from './tools/reference_build.ts';
import { report } from './tools/result.ts';
import { type ServerProcess, startServerProcess } from './tools/server_process.ts';

// POST /ingest of events of some 300 bytes, 32 connections from another process, into Kafka with acks=all; beside it a Fastify that only takes the body as text
// and answers. Then POST /ingest/batch. Each server is a process of its own, and a gateway is `headwater start --role gateway`. With a commit as argument
// (`npm run bench -- gateway --before REF`), the gateway of that commit runs in turn with this tree's, on the same Kafka.
const CONNECTIONS = 32;
/** All in turn, so often: a machine's other work then falls on all alike, and medians are compared. */
const ROUNDS = 9;
const SINGLES = 10_000;
const WARM_UP = 10_000;
const BATCHES = 60;
const BATCH = 1_000;

const [reference] = process.argv.slice(2);
const given = process.env.TEST_KAFKA_BROKERS;
const servers = given === undefined ? await startServers(['kafka']) : undefined;
const brokers = given ?? servers?.env.TEST_KAFKA_BROKERS ?? '';
const data = await mkdtemp(join(tmpdir(), 'headwater-bench-'));
const suffix = Date.now();

interface Round {
  readonly result: PredictResult;
  readonly cpuMs: number | undefined;
}
interface Contender {
  readonly server: ServerProcess;
  readonly singles: Round[];
  readonly batches: Round[];
}

const gatewayOf = (folder: string, name: string): Promise<ServerProcess> =>
  startServerProcess(join(folder, 'dist', 'cli', 'headwater.js'), ['start', '--role', 'gateway'], {
    cwd: folder,
    env: {
      INGEST_SINK: 'kafka',
      KAFKA_BROKERS: brokers,
      GATEWAY_PORT: '0',
      DATA_DIRECTORY: join(data, name),
      LOG_LEVEL: 'error',
      TZ: 'UTC',
    },
  });
const contender = (server: ServerProcess): Contender => ({ server, singles: [], batches: [] });

async function compare(folder: string | undefined): Promise<void> {
  const started: ServerProcess[] = [];
  const start = async (server: Promise<ServerProcess>): Promise<Contender> => {
    started.push(await server);
    return contender(await server);
  };
  try {
    const bare = await start(startServerProcess(join(projectRoot, 'dist', 'bench', 'tools', 'bare_fastify.js'), []));
    const after = await start(gatewayOf(projectRoot, 'after'));
    const before = folder === undefined ? undefined : await start(gatewayOf(folder, 'before'));
    const gateways = before === undefined ? [after] : [before, after];
    for (const { server } of [bare, ...gateways]) await load(server, '/ingest', singles(WARM_UP));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const each of rotated([bare, ...gateways], round)) {
        each.singles.push(await load(each.server, '/ingest', singles(SINGLES)));
      }
    }
    for (const { server } of gateways) await load(server, '/ingest/batch', batches(BATCHES));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const each of rotated(gateways, round)) {
        each.batches.push(await load(each.server, '/ingest/batch', batches(BATCHES)));
      }
    }
    reportAll(bare, after, before);
  } finally {
    for (const server of started) await server.stop();
  }
}

let next = 0;
function event(): string {
  next += 1;
  return JSON.stringify({
    event_id: `bench-${suffix}-${next}`,
    user_id: `user-${next % 5_000}`,
    event_type: 'transaction',
    device_type: 'mobile',
    timestamp: new Date().toISOString(),
    account_id: `account-${next % 5_000}`,
    amount: 1 + (next % 10_000) / 100,
    currency: 'EUR',
    merchant_id: `merchant-${next % 300}`,
    merchant_category: 'grocery',
    country: 'DE',
  });
}

function singles(count: number): string[] {
  return Array.from({ length: count }, event);
}

function batches(count: number): string[] {
  return Array.from({ length: count }, () => singles(BATCH).join('\n'));
}

function rotated<T>(list: readonly T[], by: number): T[] {
  return list.map((_, index) => list[(index + by) % list.length] as T);
}

async function load(server: ServerProcess, path: string, bodies: readonly string[]): Promise<Round> {
  const startedMs = await server.cpuMs();
  const result = await runTraffic({ url: server.url, path, bodies, connections: CONNECTIONS });
  const endedMs = await server.cpuMs();
  if (result.failed > 0) throw new Error(`${result.failed} requests failed: ${result.firstFailure}`);
  return { result, cpuMs: startedMs === undefined || endedMs === undefined ? undefined : endedMs - startedMs };
}

function median<T>(list: readonly T[], of: (one: T) => number): number {
  return list.map(of).sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;
}

const rate = ({ result: { requests, elapsedMs } }: Round): number => (requests / elapsedMs) * 1_000;
const cpuMicros = ({ result, cpuMs }: Round): number => ((cpuMs ?? Number.NaN) / result.requests) * 1_000;

function reportAll(bare: Contender, after: Contender, before: Contender | undefined): void {
  const single = {
    bench: 'gateway',
    case: `POST /ingest, ${event().length} bytes, 32 connections, Kafka acks=all`,
    peer: 'bare Fastify POST',
  };
  const hasCpu = bare.singles.every(({ cpuMs }) => cpuMs !== undefined);
  const named = before === undefined ? [after] : [before, after];
  const nameOf = (one: Contender): string => (one === before ? `${reference}: ` : '');
  for (const one of named) {
    const name = nameOf(one);
    report({
      ...{ ...single, metric: `${name}throughput`, unit: 'requests/s', ratioFloor: 0.65 },
      ...{ value: median(one.singles, rate), peerValue: median(bare.singles, rate) },
    });
    if (hasCpu) {
      report({
        ...{ ...single, metric: `${name}CPU time`, unit: 'µs/request' },
        ...{ value: median(one.singles, cpuMicros), peerValue: median(bare.singles, cpuMicros) },
      });
    }
    report({
      ...{ ...single, metric: `${name}added p50`, unit: 'ms', ceiling: 1 },
      value: median(one.singles, ({ result }) => result.p50Ms) - median(bare.singles, ({ result }) => result.p50Ms),
    });
    report({
      ...{ ...single, metric: `${name}p99`, unit: 'ms' },
      value: median(one.singles, ({ result }) => result.p99Ms),
      peerValue: median(bare.singles, ({ result }) => result.p99Ms),
    });
  }
  const batch = { bench: 'gateway', case: `POST /ingest/batch, ${BATCH} events each, Kafka acks=all` };
  const ofBefore = (of: (round: Round) => number) =>
    before === undefined ? {} : { peer: `the gateway of ${reference}`, peerValue: median(before.batches, of) };
  report({
    ...{ ...batch, metric: 'throughput', unit: 'events/s', value: median(after.batches, rate) * BATCH },
    ...(before === undefined
      ? { floor: 100_000 }
      : { peer: `the gateway of ${reference}`, peerValue: median(before.batches, rate) * BATCH, ratioFloor: 1 }),
  });
  if (hasCpu) {
    report({
      ...{ ...batch, metric: 'CPU time', unit: 'µs/event', value: median(after.batches, cpuMicros) / BATCH },
      ...ofBefore((round) => cpuMicros(round) / BATCH),
    });
  }
}

try {
  if (reference === undefined) await compare(undefined);
  else await withBuiltReference(reference, compare);
} finally {
  await servers?.stop();
  await rm(data, { recursive: true, force: true });
}
