import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createClient } from 'headwater/client';
import { HOUR_MS } from 'headwater/features';
import { PlatformProcess, quantile } from 'headwater/testing';
import { fraudView } from '../features/fraud.ts';
import { PlatformMetrics } from '../platform_metrics.ts';
import { StallWatch } from '../stall_watch.ts';
import { type GeneratedEvent, generateTransactions } from '../transaction_generator.ts';
import { requestPredictions, sendTransactions } from '../transaction_traffic.ts';

// `headwater scripts run demo`: from card payments to predictions on whatever ENVIRONMENT names, once; the last line of output is one JSON object.

const MODEL = 'fraud_detector';
const VIEW = 'fraud@1';
const DAYS = 14;
/** The last tenth is posted one by one at a steady rate, and the time from there to readable features measured. */
const LIVE_SHARE = 0.1;
const LIVE_EVENTS_PER_SECOND = 500;
const HISTORY_BATCH = 200;
const IN_A_BATCH = 100;
/** The demo fails when nothing has moved for so long, however long all of it takes. */
const STALLED_MS = 120_000;
const PROGRESS_MS = 1_000;

const { values: given } = parseArgs({
  options: {
    events: { type: 'string', default: '22000' },
    accounts: { type: 'string', default: '600' },
    seed: { type: 'string', default: '42' },
    keep: { type: 'boolean', default: false },
    'training-set': { type: 'string' },
  },
});
const numberOf = (option: 'events' | 'accounts' | 'seed', least: number): number => {
  const value = Number(given[option]);
  if (Number.isInteger(value) && value >= least) return value;
  throw new RangeError(`--${option} must be an integer from ${least}, not "${given[option]}"`);
};
const options = { events: numberOf('events', 1), accounts: numberOf('accounts', 1), seed: numberOf('seed', 0) };

const startedMs = Date.now();
const folder = await mkdtemp(join(tmpdir(), 'headwater-demo-'));
const data = await dataFolder();
const settings = {
  HEADWATER_PROJECT: fileURLToPath(new URL('..', import.meta.url)),
  ENVIRONMENT: `${process.env.ENVIRONMENT || 'embedded'},demo`,
  // On servers it uses names that no other run has.
  NAMESPACE: `demo_${startedMs.toString(36)}`,
  NODE_OPTIONS: '--max-old-space-size=384 --max-semi-space-size=8',
};
const run = (...args: string[]): Promise<string> => PlatformProcess.command(data, args, settings);

const starting = begin('start the platform');
const platform = await PlatformProcess.start(data, settings);
const { gateway, features, serving, pipeline } = platform.urls;
starting.finish(`gateway ${gateway}, features ${features}, serving ${serving}`);
let summary: Readonly<Record<string, number>>;
try {
  summary = await mainJob();
} finally {
  await platform.terminate();
  await rm(folder, { recursive: true, force: true });
}
console.table({ ...summary, seconds: Math.round((Date.now() - startedMs) / 1_000) });
console.log(given.keep ? `its data is in ${data}` : 'its data is removed; --keep keeps it');
console.log(JSON.stringify(summary));

/** Returns the empty folder that the demo's data goes to: DATA_DIRECTORY, or one of its own. */
async function dataFolder(): Promise<string> {
  const named = process.env.DATA_DIRECTORY;
  if (named === undefined) return given.keep ? mkdtemp(join(await made('.headwater'), 'demo-')) : join(folder, 'data');
  if ((await readdir(await made(named))).length === 0) return resolve(named);
  throw new Error(
    `${resolve(named)} holds data, and a demo begins with an empty folder: set DATA_DIRECTORY to another`,
  );
}

async function made(path: string): Promise<string> {
  await mkdir(path, { recursive: true });
  return path;
}

async function mainJob(): Promise<Readonly<Record<string, number>>> {
  const endMs = Math.floor(startedMs / HOUR_MS) * HOUR_MS;
  const events = generateTransactions({ ...options, days: DAYS, endMs });
  const { ingested, live } = await post(events);
  const counts = await catchUp(ingested.accepted);
  const deadLetters = await countDeadLetters();
  check(ingested.failed === 0, `${ingested.failed} events could not be posted: ${ingested.firstFailure}`);
  check(
    counts.processed + deadLetters === events.length,
    `${events.length} events were posted, but ${counts.processed} were processed and ${deadLetters} dead-lettered`,
  );

  const set = await makeTrainingSet(events);
  const first = await firstVersion();
  const { metrics } = JSON.parse(
    await run('models', 'evaluate', MODEL, String(first), '--training-set', set.folder, '--json'),
  ) as { readonly metrics: { readonly auc: number } };
  const second = await train(set.folder);

  const scored = await score();
  const switched = await promoteUnderLoad(scored.bodies, first, second.version);
  const predictions = scored.predictions + switched.requests;
  await logged(predictions);
  return {
    events: events.length,
    accepted: events.length - deadLetters,
    invalid: ingested.rejected,
    dead_lettered: deadLetters,
    late: counts.late,
    feature_rows: counts.written,
    training_rows: set.rows,
    predictions,
    failed_requests: ingested.failed + switched.failed,
    auc_v1: rounded(metrics.auc),
    auc_v2: rounded(second.auc),
    e2e_p50_ms: live.p50Ms,
    e2e_p99_ms: live.p99Ms,
    predict_p50_ms: rounded(quantile(switched.latenciesMs, 0.5)),
    predict_p99_ms: rounded(quantile(switched.latenciesMs, 0.99)),
    memory_mb: Math.round((await PlatformMetrics.read(pipeline)).sum('process_resident_memory_bytes') / 2 ** 20),
  };
}

async function post(events: readonly GeneratedEvent[]) {
  const liveFrom = Math.floor(events.length * (1 - LIVE_SHARE));
  const posting = begin('post card transactions to the gateway', events.length);
  const history = await sendTransactions(gateway, events.slice(0, liveFrom), {
    ...{ batchSize: HISTORY_BATCH, connections: 4 },
    onProgress: (done) => posting.update(done, 'history, in batches'),
  });
  // Only live events say how long one takes: history arrives all at once.
  await settled(history.accepted);
  const before = await PlatformMetrics.read(pipeline);
  const posted = await sendTransactions(gateway, events.slice(liveFrom), {
    ...{ batchSize: 1, connections: 16, ratePerSecond: LIVE_EVENTS_PER_SECOND },
    onProgress: (done) => posting.update(liveFrom + done, `live, ${LIVE_EVENTS_PER_SECOND} a second`),
  });
  const ingested = {
    accepted: history.accepted + posted.accepted,
    rejected: history.rejected + posted.rejected,
    failed: history.failed + posted.failed,
    firstFailure: history.firstFailure ?? posted.firstFailure,
  };
  const rate = Math.round((history.accepted / history.elapsedMs) * 1_000);
  posting.finish(`${ingested.accepted} accepted, ${ingested.rejected} refused; history at ${rate} events a second`);
  await settled(ingested.accepted);
  const after = await PlatformMetrics.read(pipeline);
  const endToEndMs = (share: number): number =>
    rounded(1_000 * after.quantile('pipeline_end_to_end_seconds', share, before));
  return { ingested, live: { p50Ms: endToEndMs(0.5), p99Ms: endToEndMs(0.99) } };
}

interface PipelineCounts {
  readonly processed: number;
  /** Those of them whose rows are durable, or that a quality rule keeps out. */
  readonly written: number;
  readonly deadLettered: number;
  readonly late: number;
}

/** Events, not computations: each counts once, however many views are computed of it. */
async function pipelineCounts(): Promise<PipelineCounts> {
  const metrics = await PlatformMetrics.read(pipeline);
  const of = (...outcome: string[]): number => metrics.sum('feature_view_events_total', { view: [VIEW], outcome });
  return {
    processed: of('computed'),
    written: of('written', 'refused'),
    deadLettered: metrics.sum('events_failed_total', { reason: ['invalid'] }) + of('late', 'failed', 'view_stopped'),
    late: metrics.sum('pipeline_late_events_total'),
  };
}

/** Waits until the pipeline has processed `accepted` events, and what it wrote is durable. */
async function settled(accepted: number, onProgress: (done: number) => void = () => {}): Promise<PipelineCounts> {
  const watch = new StallWatch(STALLED_MS);
  for (;;) {
    const counts = await pipelineCounts();
    const done = counts.processed + counts.deadLettered;
    if (done >= accepted && counts.written >= counts.processed) return counts;
    check(
      !watch.isStalled(done + counts.written),
      `the pipeline has not moved for ${STALLED_MS / 1_000} s; ${done} of ${accepted} events are computed, ${counts.written} of their rows are durable:\n${platform.output.slice(-1_000)}`,
    );
    onProgress(done);
    await sleep(50);
  }
}

async function catchUp(accepted: number): Promise<PipelineCounts> {
  const catching = begin('compute features', accepted);
  const counts = await settled(accepted, (done) => catching.update(done));
  catching.finish(`${counts.processed} rows, ${counts.late} events came out of order`);
  check(
    counts.deadLettered === 0,
    `${counts.deadLettered} accepted events went to the dead letters: look at their reasons`,
  );
  return counts;
}

async function countDeadLetters(): Promise<number> {
  const letters = JSON.parse(await run('dlq', 'list', '--json')) as readonly { readonly stage: string }[];
  const unused = letters.filter(({ stage }) => stage.startsWith('pipeline.'));
  check(unused.length === 0, `the pipeline has refused ${unused.length} events: ${JSON.stringify(unused[0])}`);
  return letters.length;
}

/** Joins what the chargeback desk has found out with the features as of the payment. */
async function makeTrainingSet(events: readonly GeneratedEvent[]) {
  const making = begin('join labels with features as of their time');
  const labels = events
    .filter(({ arrival }) => arrival !== 'invalid')
    .map(({ eventId, accountId, timestampMs, isFraud }) => ({
      ...{ account_id: accountId, event_time: new Date(timestampMs).toISOString(), label: isFraud ? 1 : 0 },
      label_id: eventId,
    }));
  const file = join(folder, 'chargebacks.jsonl');
  await writeFile(file, labels.map((label) => `${JSON.stringify(label)}\n`).join(''));
  const out = resolve(given['training-set'] ?? join(folder, 'training-set'));
  await run('training-sets', 'create', '--service', VIEW, '--labels-file', file, '--out', out);
  const { rows, positives } = JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8')) as {
    readonly rows: number;
    readonly positives: number;
  };
  making.finish(`${rows} rows, ${positives} fraudulent`);
  return { folder: out, rows };
}

interface Version {
  readonly name: string;
  readonly version: number;
  readonly stage: string;
}

async function versions(): Promise<readonly Version[]> {
  const all = JSON.parse(await run('models', 'list', '--json')) as readonly Version[];
  return all.filter(({ name }) => name === MODEL);
}

/** Returns the version that answers: of a registry on disk the one that came with the project, of another one that is registered here. */
async function firstVersion(): Promise<number> {
  const registering = begin('put version 1 (XGBoost) into production');
  const [own, ...others] = await versions();
  let version = own?.version;
  if (own?.stage !== 'Production' || others.length > 0) {
    version = await registered(() =>
      run('models', 'register', MODEL, join(settings.HEADWATER_PROJECT, 'models', MODEL)),
    );
    await run('models', 'promote', MODEL, String(version), '--force', '--by', 'demo', '--reason', 'first version');
  }
  registering.finish(`version ${version}`);
  return version as number;
}

/** Returns the number of the version that `work` registers. */
async function registered(work: () => Promise<unknown>): Promise<number> {
  const before = new Set((await versions()).map(({ version }) => version));
  await work();
  return (await versions()).find(({ version }) => !before.has(version))?.version as number;
}

async function train(set: string): Promise<{ readonly version: number; readonly auc: number }> {
  const training = begin('train version 2 (neural network) in Node');
  const out = join(folder, 'model');
  const version = await registered(() =>
    run('models', 'train', MODEL, '--training-set', set, '--out', out, '--register'),
  );
  const { metrics } = JSON.parse(await readFile(join(out, 'card.json'), 'utf8')) as {
    readonly metrics: { readonly auc: number };
  };
  training.finish(`version ${version}, AUC ${metrics.auc.toFixed(4)} on the newest fifth`);
  return { version, auc: metrics.auc };
}

type Answer = Readonly<Record<string, unknown>> & { readonly probabilities: { readonly fraud: number } };

async function request<T>(url: string, body?: object): Promise<T> {
  const answer = await fetch(url, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: { 'content-type': 'application/json' },
  });
  const text = await answer.text();
  check(answer.ok, `${url} answered ${answer.status}: ${text}`);
  return JSON.parse(text) as T;
}

/** A few of each kind of request, checked. */
async function score() {
  const scoring = begin('score by features, by account and in a batch');
  const accounts = Array.from({ length: options.accounts }, (_, index) => `acct_${String(index + 1).padStart(5, '0')}`);
  const view = createClient({ featuresUrl: features }).features.of(fraudView);
  const rows: { readonly account: string; readonly features: object }[] = [];
  for (const account of accounts) {
    if (rows.length === IN_A_BATCH) break;
    const row = await view.get(account);
    if (row !== undefined) rows.push({ account, features: row });
  }
  const [{ account, features: row }] = rows as [(typeof rows)[number]];
  const common = { model_name: MODEL, return_probabilities: true };
  const byFeatures = await request<Answer>(`${serving}/predict`, { ...common, features: row });
  const byAccount = await request<Answer>(`${serving}/predict`, { ...common, entity_id: account });
  const instances = Array.from({ length: IN_A_BATCH }, (_, index) => rows[index % rows.length]?.features);
  const batch = await request<{ readonly count: number }>(`${serving}/predict/batch`, { model_name: MODEL, instances });
  check(batch.count === IN_A_BATCH, `a batch of ${IN_A_BATCH} got ${batch.count} answers`);
  const probability = ({ probabilities: { fraud } }: Answer): string => fraud.toFixed(4);
  scoring.finish(
    `fraud ${probability(byFeatures)} by features, ${probability(byAccount)} by account ${account}, and ${batch.count} in a batch`,
  );
  const bodies = rows.map((each) => JSON.stringify({ model_name: MODEL, features: each.features }));
  return { predictions: 2 + IN_A_BATCH, bodies };
}

async function promoteUnderLoad(bodies: readonly string[], from: number, to: number) {
  const promoting = begin(`promote version ${to} while requests run`);
  const stop = new AbortController();
  let answering = from;
  const traffic = requestPredictions(serving, bodies, stop.signal, (version) => {
    answering = version;
  });
  await sleep(1_000);
  await run('models', 'promote', MODEL, String(to), '--force', '--by', 'demo', '--reason', 'the trained version');
  const promotedMs = performance.now();
  while (answering !== to && performance.now() - promotedMs < STALLED_MS) await sleep(10);
  const switchedMs = Math.round(performance.now() - promotedMs);
  await sleep(1_000);
  stop.abort();
  const result = await traffic;
  const [before = 0, after = 0] = [result.versions.get(from), result.versions.get(to)];
  check(before > 0 && after > 0, `answers did not switch: ${JSON.stringify([...result.versions])}`);
  check(result.failed === 0, `${result.failed} requests failed during the switch: ${result.firstFailure}`);
  promoting.finish(
    `${before} answers by version ${from}, then ${after} by version ${to}; followed ${switchedMs} ms after the command, none failed`,
  );
  return result;
}

/** Waits until each prediction that was answered is in the log of predictions. */
async function logged(made: number): Promise<void> {
  const logging = begin('log the predictions', made);
  const watch = new StallWatch(STALLED_MS);
  for (;;) {
    const rows = JSON.parse(
      await run('predictions', 'list', '--json', '--limit', String(made + 1)),
    ) as readonly object[];
    if (rows.length === made) return logging.finish(`${made} predictions`);
    check(
      rows.length < made && !watch.isStalled(rows.length),
      `${made} predictions were answered, ${rows.length} were logged`,
    );
    logging.update(rows.length);
  }
}

function check(holds: boolean, problem: string): void {
  if (!holds) throw new Error(`the demo failed: ${problem}`);
}

/** Prints that a part of the work begins, each second how much of it is done, and what came of it. */
function begin(title: string, total?: number) {
  const beganMs = performance.now();
  let shownMs = beganMs;
  console.log(`${title} …`);
  return {
    update(done: number, remark = ''): void {
      if (performance.now() - shownMs < PROGRESS_MS) return;
      shownMs = performance.now();
      console.log(`  ${done}${total === undefined ? '' : ` of ${total}`} ${remark}`);
    },
    finish(result: string): void {
      console.log(`  ${result} (${((performance.now() - beganMs) / 1_000).toFixed(1)} s)`);
    },
  };
}

function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
