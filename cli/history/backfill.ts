import { cp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type DeadLetter, generalised } from '#connectors/dead_letters/dead_letters';
import { HistoryFiles } from '#connectors/files/history_files';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { textHash } from '#kernel/functions/function_identity';
import { canonicalJson } from '#kernel/json';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { readList } from '#pipelines/archive/archive_list';
import type { OtherDefinitionsError } from '#pipelines/engine/errors';
import type { HistoryRows } from '#pipelines/io/history/merged_history';
import type { BackfillProgress } from '#pipelines/jobs/feature_pipeline';
import type { HandedOver } from '#pipelines/jobs/hand_over';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics, type FeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { BucketHandOvers, ORDER_FILE, RemoteHandOverError } from '../jobs/bucket_hand_overs.ts';
import { backfillViews, openBackfillPipeline } from '../jobs/features_pipeline.ts';
import {
  backfillsFolder,
  definitionsOfViews,
  type HandOverOrder,
  isHandOverOrdered,
  missingEventsOf,
  orderHandOver,
} from '../jobs/state_hand_over.ts';
import { archiveToRead } from '../parts/archive_folder.ts';
import { bringArchiveUpToDate, RunningPlatform, RunningPlatformError } from '../parts/control_client.ts';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject, type Project } from '../project/project.ts';

export interface BackfillRequest {
  /** Patterns of files. Without them and {@link query}: where the sources say that their history is. */
  readonly in?: readonly string[];
  /** A query of the offline store's database. */
  readonly query?: string;
  /** Ids of views; empty: all that have a history. */
  readonly views: readonly string[];
  /** By view id, features that are computed beside the others, which stay as they are; other views are computed whole. */
  readonly features?: Readonly<Record<string, readonly string[]>>;
  /** The stream takes the state over also where the archive lacks events that it may have counted. */
  readonly acceptGaps?: boolean;
  /** Where the state is kept until the back-fill is complete; by default a folder of its own in the data directory. */
  readonly snapshots?: string;
  /** Aborted: what was read is finished and kept, and the same request resumes there. */
  readonly signal?: AbortSignal;
}

export interface BackfillState extends BackfillProgress {
  /** Rows that a run before this one has read. */
  readonly resumedAfter: number;
}

/** Of this run, but for `events`. */
export interface BackfillCounts {
  readonly files: number;
  /** Rows that were read, also by a run that was interrupted. */
  readonly events: number;
  readonly resumed_after: number;
  readonly rows_of_events: number;
  readonly rows_of_windows: number;
  readonly duplicates: number;
  readonly late: number;
  readonly violations: number;
  readonly dead_lettered: number;
}

/** Why events were not used. */
export interface RefusalReason {
  /** Without what differs from event to event. */
  readonly reason: string;
  readonly count: number;
  /** The first of them. */
  readonly example: string;
}

export interface BackfillResult {
  readonly views: readonly string[];
  readonly counts: BackfillCounts;
  /** The most frequent first. */
  readonly reasons: readonly RefusalReason[];
  readonly seconds: number;
  /** False when it was stopped before the end. */
  readonly isComplete: boolean;
  /**
   * What the stream has taken over; `at_next_start`: it does when the platform starts, for none runs; `at_restart`: the one that runs has other definitions; undefined: there is
   * nothing to take over.
   */
  readonly handedOver: HandedOver | 'at_next_start' | 'at_restart' | undefined;
  /** Why it counts as failed, in a sentence or several; undefined when it does not. */
  readonly problem: string | undefined;
}

const SNAPSHOT_INTERVAL_MS = 2_000;
/** Kinds of reasons. */
const MOST_REASONS = 200;
const SHOWN_REASONS = 5;

/** Returns where a request reads, for messages. */
export const describeHistory = ({ in: patterns, query }: Pick<BackfillRequest, 'in' | 'query'>): string =>
  patterns?.join(', ') ?? (query === undefined ? 'the histories of the sources' : 'a query');

/** Returns what the stream takes over and when, for messages. */
export function describeHandOver(handedOver: NonNullable<BackfillResult['handedOver']>): string {
  if (handedOver === 'at_next_start') return 'the stream takes the state over when the platform starts';
  if (handedOver === 'at_restart')
    return 'the platform that runs has other definitions: restart it with these, the stream takes the state over then';
  return `the stream has taken over the state of ${handedOver.entities} entities`;
}

/**
 * Computes features of history into both stores, beside a platform that runs or without one. State is kept as it goes: the same request after a crash resumes where the
 * last snapshot was. Rows that exist with the same values keep when they were computed.
 */
export async function runBackfill(
  request: BackfillRequest,
  onProgress: (state: BackfillState) => void = () => {},
): Promise<BackfillResult> {
  const { in: patterns, query, views: ids, features, signal } = request;
  const options = {
    ...(patterns === undefined ? {} : { in: patterns.join(',') }),
    ...(query === undefined ? {} : { query }),
    views: ids.join(','),
    ...(features === undefined ? {} : { features: JSON.stringify(features) }),
  };
  const config = await loadProject();
  const startedMs = performance.now();
  if (patterns !== undefined && (await filesMatching(patterns)).length === 0) {
    return nothingRead(request, `no file with events matches ${describeHistory(request)}: nothing was computed`);
  }
  const chosen = backfillViews(config, options);
  // The state of views of the stream is handed over, with an archive to read on from.
  const ofStream = config.archive.enabled ? chosen.filter(({ mode }) => mode === 'streaming') : [];
  const streamed = ofStream.map(viewId);
  if (streamed.length > 0) await bringArchiveUpToDate(config);
  const given = { acceptGaps: request.acceptGaps ?? false };
  const isGiven = patterns !== undefined || query !== undefined;
  if (!isGiven && chosen.every(({ sources }) => sources.every(({ history }) => history === undefined))) {
    // Nothing else that it reads can hold them.
    const missing = await eventsMissing(config, streamed, given);
    if (missing !== undefined) return nothingRead(request, missing);
  }
  const backfill = identityOf(options, chosen);
  const own = join(backfillsFolder(config), backfill);
  const directory = request.snapshots === undefined ? own : resolve(request.snapshots);
  // The same request again, while its state waits for a platform: it begins anew.
  if (directory === own && isHandOverOrdered(own)) await rm(own, { recursive: true, force: true });
  const run = new BackfillRun(options, onProgress, streamed.length > 0 ? backfill : undefined);
  let isComplete = await run.run(directory, signal, streamed.length > 0);
  if (isComplete && streamed.length > 0) {
    // To the end of time in a copy: rows of what has left its window by now. The state that is handed over is that of the last event.
    const copy = `${directory}.end`;
    await rm(copy, { recursive: true, force: true });
    await cp(directory, copy, { recursive: true, filter: (path) => !path.endsWith('.lock') });
    isComplete = await run.run(copy, signal, false);
    await rm(copy, { recursive: true, force: true });
  }
  const counts = await countsOf(run.metrics, run.read);
  const outcome = {
    ...{ counts, isComplete, reasons: run.reasons.list(), seconds: (performance.now() - startedMs) / 1_000 },
    views: chosen.map(viewId),
  };
  const problem = problemOf(request, outcome, await stoppedViews(run.metrics), run.read.rowsOf);
  const handsOver = isComplete && problem === undefined && streamed.length > 0;
  const sources = new Set(chosen.flatMap((view) => view.sources)).size;
  const historyUntilMs = historiesUntil(run.read.rowsOf, isGiven ? 1 : sources);
  const order = {
    ...given,
    definitions: definitionsOfViews(ofStream),
    backfill,
    ...(historyUntilMs === undefined ? {} : { historyUntilMs }),
  };
  const missing = handsOver ? await eventsMissing(config, streamed, order) : undefined;
  // The state stays: the same command with --accept-gaps reads nothing again.
  if (missing !== undefined) return { ...outcome, handedOver: undefined, problem: missing };
  const handedOver = handsOver
    ? await orderAndTakeOver(config, directory, {
        ...{ options, views: streamed, ...order },
        // Rows that the stream has written since may be of events that the archive lacks.
        ...(given.acceptGaps ? {} : { newSinceMs: await newSince(config, streamed) }),
      })
    : undefined;
  if (isComplete && !handsOver && directory === own) await rm(own, { recursive: true, force: true });
  return { ...outcome, handedOver, problem };
}

/** Returns since when the stream computes views, or features of them, that have no history yet, by view id. */
const newSince = (config: Project, views: readonly string[]): Promise<Readonly<Record<string, number>>> =>
  withOffline(config, async ({ definitions }) => {
    const stored = await definitions.readDefinitions();
    const fresh = stored.filter(
      ({ kind, id, data, applied }) =>
        kind === 'view' && views.includes(id) && canonicalJson(data) !== canonicalJson(applied),
    );
    return Object.fromEntries(fresh.map(({ id, recordedAtMs }) => [id, recordedAtMs]));
  });

/** Hands state over now, where a platform runs with the same definitions, or when it starts with them. */
async function orderAndTakeOver(
  config: Project,
  directory: string,
  order: HandOverOrder,
): Promise<HandedOver | 'at_next_start' | 'at_restart'> {
  await orderHandOver(directory, order);
  const running = await RunningPlatform.find(config, 'stream');
  if (running === undefined) return offered(config, directory);
  try {
    return await running.takeOver(directory);
  } catch (error) {
    if (error instanceof RunningPlatformError && error.code === OTHER_DEFINITIONS) return 'at_restart';
    throw error;
  }
}

/** Hands state over to a pipeline on another machine, by the bucket of the archive. Without one it waits for the next start. */
async function offered(config: Project, directory: string): Promise<HandedOver | 'at_next_start' | 'at_restart'> {
  const remote = BucketHandOvers.of(config);
  if (remote === undefined) return 'at_next_start';
  const result = await remote.offer(directory);
  // It lies in the bucket now.
  await rm(join(directory, ORDER_FILE), { force: true });
  if (result?.handedOver !== undefined) return result.handedOver;
  if (result?.error === undefined) return 'at_next_start';
  if (result.error.code === OTHER_DEFINITIONS) return 'at_restart';
  throw new RemoteHandOverError(result.error);
}

const OTHER_DEFINITIONS: OtherDefinitionsError['code'] = 'PIPELINE_OTHER_DEFINITIONS';

/** Runs of the pipeline of one request, and what they have counted. */
class BackfillRun {
  readonly metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  readonly reasons = new ReasonTally();
  readonly #options: Readonly<Record<string, string>>;
  readonly #onProgress: (state: BackfillState) => void;
  readonly #backfill: string | undefined;
  read: { files: number; rows: number; resumedAfter: number; rowsOf?: readonly HistoryRows[] } = {
    ...{ files: 0, rows: 0, resumedAfter: 0 },
  };
  #hasBegun = false;

  /** @param backfill - id that rows of history are noted with */
  constructor(
    options: Readonly<Record<string, string>>,
    onProgress: (state: BackfillState) => void,
    backfill: string | undefined,
  ) {
    this.#options = options;
    this.#onProgress = onProgress;
    this.#backfill = backfill;
  }

  /** @param keepsEnd - ends with its state as of the last event. @returns whether it was not stopped before the end */
  async run(directory: string, signal: AbortSignal | undefined, keepsEnd: boolean): Promise<boolean> {
    let isComplete = true;
    let drained: Promise<void> | undefined;
    let drain = (): void => {};
    const { construct, close } = await openBackfillPipeline(this.#options, {
      metrics: this.metrics,
      onProgress: (progress) => this.#progress(progress),
      onRefused: (letter) => this.reasons.add(letter),
      ...(keepsEnd ? { onCaughtUp: () => drain() } : {}),
      ...(this.#backfill === undefined ? {} : { backfill: this.#backfill }),
    });
    try {
      const handle = runEmbedded(createPipeline(construct), {
        snapshots: { directory, intervalMs: SNAPSHOT_INTERVAL_MS },
      });
      drain = (): void => {
        drained ??= handle.stop().catch(() => {});
      };
      const stop = (): void => {
        isComplete = false;
        drain();
      };
      signal?.addEventListener('abort', stop, { once: true });
      if (signal?.aborted === true) stop();
      await handle.finished;
      await drained;
      signal?.removeEventListener('abort', stop);
    } finally {
      await close();
    }
    return isComplete;
  }

  #progress(progress: BackfillProgress): void {
    const resumedAfter = this.#hasBegun ? this.read.resumedAfter : progress.before;
    this.#hasBegun = true;
    this.read = { ...progress, resumedAfter };
    this.#onProgress({ ...progress, resumedAfter });
  }
}

const filesMatching = async (patterns: readonly string[]): Promise<readonly string[]> => {
  const files = new HistoryFiles();
  return files.find(patterns);
};

async function stoppedViews({ stoppedViews: gauge }: FeatureMetrics): Promise<readonly string[]> {
  const { values } = await gauge.get();
  return values.filter(({ value }) => value === 1).map(({ labels }) => String(labels.view));
}

/** Names the folder of a back-fill: the same request for the same definitions finds its state again. */
const identityOf = (options: Readonly<Record<string, string>>, views: readonly FeatureView[]): string =>
  textHash(canonicalJson({ ...options, views: views.map(describeView) }));

async function countsOf(
  metrics: FeatureMetrics,
  { files, rows, resumedAfter }: { readonly files: number; readonly rows: number; readonly resumedAfter: number },
): Promise<BackfillCounts> {
  const { events, decayed, duplicates, late, failed, violations } = metrics;
  const computed = (await events.get()).values.filter(({ labels }) => labels.outcome === 'computed');
  return {
    files,
    events: rows,
    resumed_after: resumedAfter,
    rows_of_events: computed.reduce((sum, { value }) => sum + value, 0),
    rows_of_windows: await totalOf(decayed),
    duplicates: await totalOf(duplicates),
    late: await totalOf(late),
    violations: await totalOf(violations),
    dead_lettered: await totalOf(failed),
  };
}

/** Names events of before that neither the archive nor a history holds; undefined where there is nothing to hand over. */
async function eventsMissing(
  config: Project,
  views: readonly string[],
  order: Pick<HandOverOrder, 'acceptGaps' | 'historyUntilMs'>,
): Promise<string | undefined> {
  const place = views.length === 0 ? undefined : archiveToRead(config);
  const list = place === undefined ? undefined : await readList(place);
  return list === undefined ? undefined : missingEventsOf(list, config, views, order);
}

/** Returns up to when `count` histories hold events; undefined where there are fewer, or one held none. The archive comes after them. */
function historiesUntil(rowsOf: readonly HistoryRows[] = [], count: number): number | undefined {
  const histories = rowsOf.slice(0, -1);
  if (histories.length < count) return undefined;
  const times = histories.map(({ newestMs }) => newestMs ?? Number.NEGATIVE_INFINITY);
  const untilMs = Math.min(...times);
  return Number.isFinite(untilMs) ? untilMs : undefined;
}

function nothingRead(request: BackfillRequest, problem: string): BackfillResult {
  const counts = {
    ...{ files: 0, events: 0, resumed_after: 0, rows_of_events: 0, rows_of_windows: 0, duplicates: 0, late: 0 },
    ...{ violations: 0, dead_lettered: 0 },
  };
  return { views: request.views, counts, reasons: [], seconds: 0, isComplete: true, handedOver: undefined, problem };
}

function problemOf(
  request: BackfillRequest,
  { counts, isComplete, reasons }: Pick<BackfillResult, 'counts' | 'isComplete' | 'reasons'>,
  stopped: readonly string[],
  rowsOf: readonly HistoryRows[] = [],
): string | undefined {
  const where = describeHistory(request);
  const listed = reasons
    .slice(0, SHOWN_REASONS)
    .map(
      ({ reason, count, example }) =>
        `\n  ${count} × ${reason}${example === reason ? '' : `\n      such as: ${example}`}`,
    );
  const why = listed.length === 0 ? '' : ` The most frequent reasons:${listed.join('')}`;
  if (!isComplete) return `stopped after ${counts.events} events: run the same command again to resume`;
  if (stopped.length > 0) return `the features of ${stopped.join(', ')} failed for too many events.${why}`;
  // With an archive, the history that was requested is the first of two.
  const given = request.in !== undefined || request.query !== undefined ? rowsOf[0] : undefined;
  const rows = given?.rows ?? counts.events;
  if (rows === 0)
    return `no event was found in ${where}: nothing was computed. Name files with --in or a query with --query`;
  if (given?.events === 0)
    return `none of the ${rows} events in ${where} could be used: nothing of it was computed.${why}`;
  if (counts.resumed_after > 0 || counts.rows_of_events > 0) return undefined;
  return `none of the ${counts.events} events in ${where} could be used: nothing was computed.${why}`;
}

/** A reason without place and values, so that like ones are counted together. */
const kindOf = (reason: string): string =>
  generalised(reason.replace(/ \([^()]*row \d+[^()]*\)$/, '').replace(/"(?:[^"\\]|\\.)*"/g, '"…"'));

/** Counts dead letters by their reason. */
class ReasonTally {
  readonly #reasons = new Map<string, { count: number; readonly example: string }>();
  #others = 0;

  add({ reason }: DeadLetter): void {
    const kind = kindOf(reason);
    const held = this.#reasons.get(kind);
    if (held !== undefined) held.count += 1;
    else if (this.#reasons.size < MOST_REASONS) this.#reasons.set(kind, { count: 1, example: reason });
    else this.#others += 1;
  }

  list(): readonly RefusalReason[] {
    const known = [...this.#reasons].map(([reason, held]) => ({ reason, ...held }));
    const others = this.#others === 0 ? [] : [{ reason: 'others', count: this.#others, example: 'others' }];
    return [...known, ...others].sort((a, b) => b.count - a.count);
  }
}
