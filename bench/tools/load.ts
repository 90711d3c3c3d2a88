import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { assetPath } from '#kernel/project_root';
import { readModelFolder } from '#registry/model_folder';
import { type LoadRequest, openLoop, posts } from './open_loop.ts';
import { percentile } from './quantiles.ts';

// npm run load -- predict|ingest|features|all: load on a platform that runs, at a given pace; a JSON line for each, and exit code 1 when what was
// asked does not hold.

const CONNECTIONS = 256;
const ACCOUNTS = 200;
/** Bodies that are made; more requests use them again. */
const MOST_BODIES = 100_000;

interface Amount {
  readonly count: number;
  readonly seed: number;
}

interface Listener {
  readonly port: number;
  readonly requests: (amount: Amount, url: string) => Promise<readonly LoadRequest[]>;
  /** How many milliseconds 95 of 100 answers may take. */
  readonly p95Ms: number;
}

const transactionsOf = ({ count, seed }: Amount) =>
  generateTransactions({ seed, events: count, accounts: ACCOUNTS, days: 1, endMs: Date.now() });

const LISTENERS: Readonly<Record<string, Listener>> = {
  ingest: {
    port: 8080,
    p95Ms: 50,
    requests: async (amount) =>
      posts(
        '/ingest',
        transactionsOf(amount)
          .filter(({ arrival }) => arrival !== 'invalid')
          .map(({ body }) => body),
      ),
  },
  features: {
    port: 8083,
    p95Ms: 10,
    requests: async (_, url) => {
      const accounts = new Set(transactionsOf({ count: 5_000, seed: 1 }).map(({ accountId }) => accountId));
      const found: LoadRequest[] = [];
      for (const account of accounts) {
        const path = `/features/${account}`;
        if ((await fetch(`${url}${path}`)).ok) found.push({ method: 'GET', path });
      }
      if (found.length > 0) return found;
      process.stderr.write('there are no features of test accounts yet: npm run load -- ingest brings some\n');
      process.exit(2);
    },
  },
  predict: {
    port: 8000,
    p95Ms: 100,
    requests: async () => {
      const { examples } = (await readModelFolder(assetPath('examples/fraud/models/fraud_detector'))).package;
      const bodies = examples.map(({ features }) =>
        JSON.stringify({ model_name: 'fraud_detector', features, return_probabilities: true }),
      );
      return posts('/predict', bodies);
    },
  },
};

interface Options {
  readonly rps: number;
  readonly duration: number;
  readonly host: string;
  readonly port?: number;
  readonly p95?: number;
  readonly report?: string;
}

const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It is a number above 0.');
  return value;
};

const { args, options } = readArguments();
const results: Record<string, unknown>[] = [];
for (const name of args[0] === 'all' ? Object.keys(LISTENERS) : args) results.push(await loadListener(name, options));
for (const result of results) process.stdout.write(`${JSON.stringify(result)}\n`);
if (options.report !== undefined) await writeFile(options.report, `${JSON.stringify(results, null, 2)}\n`);
if (results.some(({ pass }) => pass === false)) process.exitCode = 1;

function readArguments(): { readonly args: readonly string[]; readonly options: Options } {
  const program = new Command('npm run load --')
    .description(
      'Requests at a steady pace to a platform that runs (npm start); what they took, from when each was due.',
    )
    .argument('<listener>', `${Object.keys(LISTENERS).join(', ')} or all, one after the other`)
    .option('--rps <n>', 'requests a second', positive, 1_000)
    .option('--duration <seconds>', 'how long', positive, 60)
    .option('--p95 <ms>', 'how long 95 of 100 answers may take (default: what the platform promises)', positive)
    .addOption(new Option('--host <name>', 'where it runs').default('127.0.0.1'))
    .option('--port <n>', 'where the listener is (default: its usual port)', positive)
    .option('--report <file>', 'also write the figures there, as JSON')
    .parse();
  const [listener = ''] = program.args;
  if (listener !== 'all' && LISTENERS[listener] === undefined) {
    program.error(`there is no listener "${listener}"; listeners are ${Object.keys(LISTENERS).join(', ')} and all`);
  }
  return { args: program.args, options: program.opts<Options>() };
}

async function loadListener(name: string, { rps, duration, host, p95, ...options }: Options) {
  const listener = LISTENERS[name] as Listener;
  const port = options.port ?? listener.port;
  const url = `http://${host}:${port}`;
  await fetch(`${url}/health/ready`).catch(() => {
    process.stderr.write(`nothing answers at ${url}: start the platform first (npm start)\n`);
    process.exit(2);
  });
  const count = Math.min(Math.ceil(rps * duration), MOST_BODIES);
  const requests = await listener.requests({ count, seed: Date.now() }, url);
  process.stderr.write(`${name}: ${rps} requests a second for ${duration} s to ${host}:${port}\n`);
  const load = { host, port, requests, requestsASecond: rps, seconds: duration, connections: CONNECTIONS };
  const { latencies, notSent, broken } = await openLoop(load);
  const good = Object.entries(latencies).flatMap(([status, times]) => (Number(status) < 300 ? times : []));
  const errors: Record<string, number> = { ...(broken > 0 ? { broken } : {}), ...(notSent > 0 ? { notSent } : {}) };
  for (const [status, times] of Object.entries(latencies)) if (Number(status) >= 300) errors[status] = times.length;
  const [p50Ms, p95Ms, p99Ms] = [0.5, 0.95, 0.99].map((share) => Number(percentile(good, share).toFixed(2)));
  const asked = { rps, p95_ms: p95 ?? listener.p95Ms };
  const pass = Object.keys(errors).length === 0 && (p95Ms as number) <= asked.p95_ms;
  const latency = { p50_ms: p50Ms, p95_ms: p95Ms, p99_ms: p99Ms };
  return {
    load: name,
    rps: Math.round(good.length / duration),
    ...latency,
    answered: good.length,
    errors,
    asked,
    pass,
  };
}
