import Table from 'cli-table3';
import { environment } from '#configs/environment';
import { DeadLetterQueue } from '#connectors/dead_letters/dead_letters';
import { fraudView } from '#examples/fraud/features/fraud';
import { account } from '#examples/fraud/features/transactions';
import {
  type GeneratedEvent,
  type GeneratorOptions,
  generateTransactions,
} from '#examples/fraud/transaction_generator';
import { serviceOfView } from '#feature_store/definitions/feature_service';
import { entityKeyOf, idOf } from '#feature_store/definitions/values/entity_key';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { buildTrainingSet, type TrainingSet, writeTrainingSet } from '#feature_store/retrieval/training_set';
import { binaryMetrics } from '#kernel/statistics/binary_metrics';
import { DAY_MS, eventTime, HOUR_MS } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { totalOf } from '#monitoring/metrics';
import { instanceOf, scoreRows } from '#registry/evaluation/score';
import { trainMlp } from '#registry/trainers/tfjs/train_mlp';
import { heldOutFrom, type TrainingTable } from '#registry/training_table';
import { tableOf } from '../history/training_table.ts';
import { type InitialModel, initialModels } from '../project/initial_models.ts';
import { loadProject, type Project } from '../project/project.ts';
import { type Platform, startPlatform } from '../roles/platform.ts';
import { ROLES } from '../terminal/choices.ts';
import { createProgress, type Progress, StallWatch } from '../terminal/progress.ts';
import { shutDown } from '../terminal/shutdown.ts';
import { beginDemoFolder } from './demo_folder.ts';
import { DemoFailedError } from './errors.ts';
import { HttpClient } from './http_client.ts';
import { type IngestResult, runTraffic } from './traffic.ts';

export interface DemoOptions {
  readonly events: number;
  readonly accounts: number;
  readonly seed: number;
  readonly keep: boolean;
  readonly trainingSet?: string;
}

const MODEL = 'fraud_detector';
const DAYS = 14;
/** The last tenth is posted one by one at a steady rate, and the time from there to readable features measured. */
const LIVE_SHARE = 0.1;
const LIVE_EVENTS_PER_SECOND = 500;
const HISTORY_BATCH = 200;
/** The demo fails when nothing has moved for so long, however long all of it takes. */
const STALLED_MS = 120_000;
/** What the demo's events are counted by: other views of the same events may be defined. */
const COUNTED_VIEW = viewId(fraudView);

/** The main job once, on whatever the configuration names; the last line of output is one JSON object. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const startedMs = Date.now();
  const progress = createProgress();
  const config = await demoConfig(options);
  const log = createLogger({ level: environment().LOG_LEVEL === undefined ? 'warn' : config.log.level });
  const starting = progress.begin('start the platform');
  const platform = await startPlatform(config, log, ROLES);
  starting.finish(
    `gateway ${platform.urls.gateway}, features ${platform.urls.features}, serving ${platform.urls.serving}`,
  );
  let summary: Record<string, unknown>;
  try {
    summary = await runMainJob(platform, config, options, progress);
  } catch (error) {
    // The first failure is the one that is reported.
    await shutDown(platform.services, log, config.drainTimeoutMs).catch(() => {});
    throw error;
  }
  await shutDown(platform.services, log, config.drainTimeoutMs);
  const memoryMb = Math.round(process.resourceUsage().maxRSS / 1024);
  printTable({ ...summary, seconds: Math.round((Date.now() - startedMs) / 1_000), memory_mb: memoryMb });
  process.stdout.write(`${JSON.stringify(summary)}\n`);
}

/** A demo has a place of its own, and begins afresh: on servers it uses names that no other run has. */
async function demoConfig(options: DemoOptions): Promise<Project> {
  const env = { ...environment() };
  const isDefault = env.DATA_DIRECTORY === undefined;
  env.DATA_DIRECTORY ??= `.headwater/demo-${env.ENVIRONMENT ?? 'embedded'}`;
  if (!options.keep) await beginDemoFolder(env.DATA_DIRECTORY, isDefault);
  const run = Date.now().toString(36);
  const shared = await loadProject(env);
  const suffix = shared.broker.kind === 'disk_log' ? '' : `-${run}`;
  const { topics } = shared;
  return await loadProject(env, {
    'topics.rawEvents': `${topics.rawEvents}${suffix}`,
    'topics.featureEvents': `${topics.featureEvents}${suffix}`,
    'topics.deadLetters': `${topics.deadLetters}${suffix}`,
    'topics.predictions': `${topics.predictions}${suffix}`,
    // The demo sends a history through the gateway: its oldest events are as old as that.
    'pipeline.allowedLatenessMs': Math.max(shared.pipeline.allowedLatenessMs, (DAYS + 1) * DAY_MS),
    'pipeline.group': `${shared.pipeline.group}${suffix}`,
    'onlineStore.keyPrefix': shared.onlineStore.kind === 'redis' ? `demo${suffix}` : undefined,
  });
}

async function runMainJob(
  platform: Platform,
  config: Project,
  options: DemoOptions,
  progress: Progress,
): Promise<Record<string, unknown>> {
  const { offline, registry, predictions } = platform;
  const generator: GeneratorOptions = { ...options, days: DAYS, endMs: Math.floor(Date.now() / HOUR_MS) * HOUR_MS };
  const rowsBefore = await offline.features.countRows(fraudView);
  const predictionsBefore = await offline.predictions.count();

  const latencies: number[] = [];
  const ingested = await post(platform, generator, progress, latencies);
  const counts = await catchUp(platform, ingested, progress);
  const deadLetters = await countDeadLetters(platform, config.topics.deadLetters);
  check(ingested.failed === 0, `${ingested.failed} events could not be posted: ${ingested.firstFailure}`);
  check(
    counts.processed + deadLetters === options.events,
    `${options.events} events were posted, but ${counts.processed} were processed and ${deadLetters} dead-lettered`,
  );

  const training = await makeTrainingSet(platform, generator, options, progress);
  const table = tableOf(training);
  const split = heldOutFrom(table.rows.length);
  const heldOut = table.labels.slice(split);

  const registering = progress.begin('register version 1 (XGBoost) and promote it');
  const initial = initialModels(config.models).find(({ name }) => name === MODEL);
  check(initial !== undefined, `the project has no first version of ${MODEL}: the demo is of examples/fraud`);
  const shipped = await (initial as InitialModel).load();
  const metricsV1 = binaryMetrics(heldOut, await scoreRows(shipped.package, table, split, table.rows.length));
  const v1 = await registry.register({ ...shipped, metrics: { ...metricsV1 } });
  await registry.transition(MODEL, v1.version, 'Production', { by: 'demo', reason: 'first version' });
  await platform.models.refresh();
  registering.finish(`version ${v1.version}, AUC ${metricsV1.auc.toFixed(4)} on the newest fifth`);

  const trainingV2 = progress.begin('train version 2 (neural network) in Node', 12);
  const trained = await trainMlp(table, {
    classes: ['legitimate', 'fraud'],
    seed: options.seed,
    onProgress: ({ epoch, loss }) => trainingV2.update(epoch, `loss ${loss.toFixed(4)}`),
  });
  const v2 = await registry.register({
    name: MODEL,
    ...trained,
    metrics: { ...trained.metrics },
    description: 'MLP, trained in Node',
  });
  trainingV2.finish(`version ${v2.version}, AUC ${trained.metrics.auc.toFixed(4)} on the newest fifth`);

  const scored = await score(platform, table, training, progress);
  const switched = await promoteUnderLoad(platform, table, v1.version, v2.version, progress);
  await predictions.drain();
  const made = scored.predictions + switched.predictions;
  const logged = (await offline.predictions.count()) - predictionsBefore;
  check(logged === made, `${made} predictions were answered, ${logged} were logged`);

  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => latencies[Math.floor(q * (latencies.length - 1))] ?? Number.NaN;
  return {
    events: options.events,
    accepted: options.events - deadLetters,
    invalid: ingested.rejected,
    dead_lettered: deadLetters,
    late: counts.late,
    feature_rows: (await offline.features.countRows(fraudView)) - rowsBefore,
    training_rows: table.rows.length,
    predictions: made,
    failed_requests: ingested.failed + scored.failed + switched.failed,
    auc_v1: round(metricsV1.auc),
    auc_v2: round(trained.metrics.auc),
    e2e_p50_ms: quantile(0.5),
    e2e_p99_ms: quantile(0.99),
    predict_p50_ms: round(switched.p50Ms),
    predict_p99_ms: round(switched.p99Ms),
  };
}

async function post(
  platform: Platform,
  generator: GeneratorOptions,
  progress: Progress,
  latencies: number[],
): Promise<IngestResult> {
  const url = platform.urls.gateway as string;
  const liveFrom = Math.floor(generator.events * (1 - LIVE_SHARE));
  const posting = progress.begin('post card transactions to the gateway', generator.events);
  const common = { kind: 'ingest', url, generator } as const;
  const history = await runTraffic(
    { ...common, from: 0, to: liveFrom, batchSize: HISTORY_BATCH, connections: 4 },
    ({ done }) => posting.update(done, 'history, in batches'),
  );
  // Only live events say how long one takes: history arrives all at once.
  await settled(platform, history.accepted);
  platform.featureMetrics.onEndToEnd = (latencyMs) => latencies.push(latencyMs);
  const live = await runTraffic(
    {
      ...common,
      from: liveFrom,
      to: generator.events,
      batchSize: 1,
      connections: 16,
      ratePerSecond: LIVE_EVENTS_PER_SECOND,
    },
    ({ done }) => posting.update(liveFrom + done, `live, ${LIVE_EVENTS_PER_SECOND} a second`),
  );
  const both: IngestResult = {
    accepted: history.accepted + live.accepted,
    rejected: history.rejected + live.rejected,
    duplicates: history.duplicates + live.duplicates,
    failed: history.failed + live.failed,
    firstFailure: history.firstFailure ?? live.firstFailure,
    elapsedMs: history.elapsedMs + live.elapsedMs,
  };
  const rate = Math.round((history.accepted / history.elapsedMs) * 1_000);
  posting.finish(`${both.accepted} accepted, ${both.rejected} refused; history at ${rate} events a second`);
  return both;
}

interface PipelineCounts {
  readonly processed: number;
  /** Those of them whose rows are durable, or that a quality rule keeps out. */
  readonly written: number;
  readonly deadLettered: number;
  readonly late: number;
}

/** Events, not computations: each counts once, however many views are computed of it. */
async function pipelineCounts({ featureMetrics }: Platform): Promise<PipelineCounts> {
  const { failed, events, late } = featureMetrics;
  const of = async (...outcomes: readonly string[]): Promise<number> =>
    (await events.get()).values
      .filter(({ labels: { view, outcome } }) => view === COUNTED_VIEW && outcomes.includes(String(outcome)))
      .reduce((sum, { value }) => sum + value, 0);
  const invalid = (await failed.get()).values.find(({ labels }) => labels.reason === 'invalid')?.value ?? 0;
  return {
    processed: await of('computed'),
    written: await of('written', 'refused'),
    deadLettered: invalid + (await of('late', 'failed', 'view_stopped')),
    late: await totalOf(late),
  };
}

/** Waits until the pipeline has processed `accepted` events, and what it wrote is durable. */
async function settled(
  platform: Platform,
  accepted: number,
  onProgress: (done: number) => void = () => {},
): Promise<PipelineCounts> {
  const watch = new StallWatch(STALLED_MS);
  for (;;) {
    const counts = await pipelineCounts(platform);
    const done = counts.processed + counts.deadLettered;
    if (done >= accepted && counts.written >= counts.processed) return counts;
    check(
      !watch.isStalled(done + counts.written),
      `the pipeline has not moved for ${STALLED_MS / 1_000} s; ${done} of ${accepted} events are computed, ${counts.written} of their rows are durable: ${platform.pipeline.notReady() ?? 'it is still running'}`,
    );
    onProgress(done);
    await pause(20);
  }
}

async function catchUp(platform: Platform, ingested: IngestResult, progress: Progress): Promise<PipelineCounts> {
  const catching = progress.begin('compute features', ingested.accepted);
  const counts = await settled(platform, ingested.accepted, (done) => catching.update(done));
  catching.finish(`${counts.processed} rows, ${counts.late} events came out of order`);
  check(
    counts.deadLettered === 0,
    `${counts.deadLettered} accepted events went to the dead letters: look at their reasons`,
  );
  return counts;
}

async function countDeadLetters({ broker }: Platform, topic: string): Promise<number> {
  let refused = 0;
  // An event that a pipeline refuses is refused by each view of it.
  const unused = new Set<string>();
  for await (const { letter, raw } of new DeadLetterQueue(broker, topic).list()) {
    if (letter?.stage.startsWith('pipeline.') === true) unused.add(letter.payload);
    else {
      check(letter !== undefined, `the dead-letter topic holds what is no letter: ${raw.slice(0, 100)}`);
      refused += 1;
    }
  }
  return refused + unused.size;
}

async function makeTrainingSet(
  { offline }: Platform,
  generator: GeneratorOptions,
  options: DemoOptions,
  progress: Progress,
): Promise<TrainingSet> {
  const making = progress.begin('join labels with features as of their time');
  const usable = generateTransactions(generator).filter(({ arrival }) => arrival !== 'invalid');
  const source = `chargebacks-${generator.endMs}-${options.seed}`;
  await offline.labels.write(source, usable.map(labelOf));
  const times = usable.map(({ timestampMs }) => timestampMs);
  const range = { from: eventTime(Math.min(...times)), to: eventTime(Math.max(...times) + 1) };
  const labels = await offline.labels.read(source, range);
  const spec = { service: serviceOfView(fraudView), labels: { source }, range };
  const training = await buildTrainingSet(offline.features, spec, labels);
  if (options.trainingSet !== undefined) await writeTrainingSet(options.trainingSet, training);
  making.finish(`${training.manifest.rows} rows, ${training.manifest.positives} fraudulent`);
  return training;
}

const labelOf = ({ eventId, accountId, timestampMs, isFraud }: GeneratedEvent) => ({
  labelId: eventId,
  entityKey: entityKeyOf(account, { account_id: accountId }),
  eventTime: eventTime(timestampMs),
  label: isFraud ? 1 : 0,
});

interface Scored {
  readonly predictions: number;
  readonly failed: number;
}

/** A few of each kind of request, checked. */
async function score(
  platform: Platform,
  table: TrainingTable,
  training: TrainingSet,
  progress: Progress,
): Promise<Scored> {
  const scoring = progress.begin('score by features, by account and in a batch');
  const client = new HttpClient(platform.urls.serving as string, 4);
  const ask = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await client.send({ path, body: JSON.stringify(body) });
    check(answer.status === 200, `POST ${path} answered ${answer.status}: ${answer.body}`);
    return JSON.parse(answer.body) as Record<string, unknown>;
  };
  const last = table.rows.length - 1;
  const byFeatures = await ask('/predict', {
    model_name: MODEL,
    features: instanceOf(table, last),
    return_probabilities: true,
  });
  const { entityKey } = training.rows[last] as TrainingSet['rows'][number];
  const accountId = idOf(entityKey);
  const byAccount = await ask('/predict', { model_name: MODEL, entity_id: accountId, return_probabilities: true });
  const instances = Array.from({ length: 100 }, (_, index) => instanceOf(table, last - index));
  const batch = await ask('/predict/batch', { model_name: MODEL, instances });
  client.close();
  check(batch.count === instances.length, `a batch of ${instances.length} got ${String(batch.count)} answers`);
  const probability = ({ probabilities }: Record<string, unknown>) =>
    (probabilities as { fraud: number }).fraud.toFixed(4);
  scoring.finish(
    `fraud ${probability(byFeatures)} by features, ${probability(byAccount)} by account ${accountId}, and ${String(batch.count)} in a batch`,
  );
  return { predictions: 2 + instances.length, failed: 0 };
}

async function promoteUnderLoad(
  platform: Platform,
  table: TrainingTable,
  from: number,
  to: number,
  progress: Progress,
) {
  const promoting = progress.begin(`promote version ${to} while requests run`);
  const stop = new SharedArrayBuffer(4);
  const bodies = Array.from({ length: 500 }, (_, index) =>
    JSON.stringify({ model_name: MODEL, features: instanceOf(table, table.rows.length - 1 - index) }),
  );
  const traffic = runTraffic(
    {
      kind: 'predict',
      url: platform.urls.serving as string,
      path: '/predict',
      bodies,
      connections: 8,
      repeat: true,
      stop,
    },
    ({ done, failed }) => promoting.update(done, `${failed} failed`),
  );
  await pause(1_500);
  const promotedMs = performance.now();
  const watch = new StallWatch(STALLED_MS);
  await platform.registry.transition(MODEL, to, 'Production', { by: 'demo', reason: 'the trained version takes over' });
  while (platform.models.active(MODEL).version !== to) {
    check(
      !watch.isStalled(platform.models.active(MODEL).version),
      `version ${to} was promoted and does not answer after ${STALLED_MS / 1_000} s`,
    );
    await pause(10);
  }
  const switchedMs = Math.round(performance.now() - promotedMs);
  await pause(1_000);
  Atomics.store(new Int32Array(stop), 0, 1);
  const result = await traffic;
  const [before = 0, after = 0] = [result.versions[from], result.versions[to]];
  check(before > 0 && after > 0, `answers did not switch: ${JSON.stringify(result.versions)}`);
  check(result.failed === 0, `${result.failed} requests failed during the switch: ${result.firstFailure}`);
  promoting.finish(
    `${before} answers by version ${from}, then ${after} by version ${to}; followed after ${switchedMs} ms, none failed`,
  );
  return result;
}

function check(holds: boolean, problem: string): void {
  if (!holds) throw new DemoFailedError(problem);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const round = (value: number): number => Math.round(value * 10_000) / 10_000;

function printTable(summary: Readonly<Record<string, unknown>>): void {
  const table = new Table({ head: ['figure', 'value'], style: { head: [], border: [] } });
  for (const [name, value] of Object.entries(summary)) table.push([name, String(value)]);
  process.stdout.write(`${table.toString()}\n`);
}
