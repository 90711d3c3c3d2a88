import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import type { Catalog } from '#feature_store/definitions/catalog';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { textHash } from '#kernel/functions/function_identity';
import { canonicalJson } from '#kernel/json';
import type { Service } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import { completeSince, missingEvents } from '#pipelines/archive/archive_coverage';
import type { ArchiveList } from '#pipelines/archive/archive_list';
import type { EventArchive } from '#pipelines/archive/event_archive';
import { OtherDefinitionsError } from '#pipelines/engine/errors';
import type { FeaturePipelineDeps } from '#pipelines/jobs/feature_pipeline';
import { type HandedOver, handOver } from '#pipelines/jobs/hand_over';
import type { MergeCells } from '#pipelines/runner/take_over';
import { mergeOfFeatures } from '#pipelines/transforms/compute_features';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { parseCheckedJson, writeCheckedJson } from '#storage/checked_json';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import type { Project } from '../project/project.ts';
import { BucketHandOvers, ORDER_FILE } from './bucket_hand_overs.ts';
import type { EmbeddedJob } from './embedded_job.ts';
import { backfillViews, constructBackfill, featuresOption, writeNewestOnline } from './features_pipeline.ts';

/** Back-fills of other machines are looked for so often. */
const LOOK_EVERY_MS = 5_000;

const requestSchema = z.strictObject({
  options: z.record(z.string(), z.string()),
  /** Whose state the stream takes over. */
  views: z.array(z.string()),
  /** Of these views, by id, as the back-fill had them: {@link definitionsOfViews}. */
  definitions: z.record(z.string(), z.string()).optional(),
  /** Events up to this time were read from files or a query, ms. */
  historyUntilMs: z.number().optional(),
  /** Also where the archive lacks events that the stream may have counted. */
  acceptGaps: z.boolean().optional(),
  /** Id that the back-fill's rows are noted with. */
  backfill: z.string().optional(),
  /** By view id, since when the stream computes what was new, ms: its rows of since then are settled. */
  newSinceMs: z.record(z.string(), z.number()).optional(),
});
export type HandOverOrder = z.infer<typeof requestSchema>;

/** Where back-fills keep their state, each in a folder of its own. */
export const backfillsFolder = ({ dataDirectory }: Pick<PlatformConfig, 'dataDirectory'>): string =>
  join(resolve(dataDirectory), 'backfills');

/** Whether state waits in a folder for the platform's next start. */
export const isHandOverOrdered = (directory: string): boolean => existsSync(join(directory, ORDER_FILE));

/** Notes in a back-fill's folder that the stream is to take its state over: at once where a platform runs, else when it starts. */
export const orderHandOver = (directory: string, order: HandOverOrder): Promise<void> =>
  writeCheckedJson(join(directory, ORDER_FILE), order);

/** Names events that views need and the archive lacks; undefined: there are none, or the order accepts it. */
export function missingEventsOf(
  list: ArchiveList,
  { catalog, pipeline }: Pick<Project, 'catalog' | 'pipeline'>,
  ids: readonly string[],
  {
    acceptGaps = false,
    historyUntilMs = Number.NEGATIVE_INFINITY,
  }: Pick<HandOverOrder, 'acceptGaps' | 'historyUntilMs'>,
): string | undefined {
  if (acceptGaps) return undefined;
  const views = catalog.views
    .filter((view) => ids.includes(viewId(view)))
    .map((view) => ({
      view: viewId(view),
      horizonMs: new ViewComputation(view, pipeline.allowedLatenessMs).horizonMs,
    }));
  return missingEvents(list, views, { nowMs: systemClock.now(), historyUntilMs });
}

/** Returns hashes of what decides the values of views, by view id. */
export const definitionsOfViews = (views: readonly FeatureView[]): Readonly<Record<string, string>> =>
  Object.fromEntries(views.map((view) => [viewId(view), textHash(canonicalJson(describeView(view)))]));

/** @throws {@link OtherDefinitionsError} when a state was computed with other definitions than those of this process */
function requireSameDefinitions(catalog: Catalog, computed: NonNullable<HandOverOrder['definitions']>): void {
  const own = definitionsOfViews(catalog.views);
  const others = Object.keys(computed).filter((id) => own[id] !== computed[id]);
  if (others.length === 0) return;
  throw new OtherDefinitionsError(`${others.join(', ')} computed with other definitions than those of the platform`);
}

interface Deps extends Omit<FeaturePipelineDeps, 'metrics'> {
  readonly job: EmbeddedJob;
  readonly archive: EventArchive;
}

/** Takes the state of back-fills over into the job that runs. Those that were complete before it started are taken over when it starts. */
export class StateHandOver implements Service {
  readonly name = 'hand-over of state';
  readonly #deps: Deps;
  readonly #config: Project;
  readonly #remote: BucketHandOvers | undefined;
  #pending: Promise<void> = Promise.resolve();
  #stopped = new AbortController();

  constructor(deps: Deps, config: Project) {
    this.#deps = deps;
    this.#config = config;
    this.#remote = BucketHandOvers.of(config);
  }

  async start(): Promise<void> {
    this.#stopped = new AbortController();
    this.#pending = this.#takePending().then(() => this.#takeRemote(this.#stopped.signal));
  }

  /** Takes over what back-fills of other machines have put into the bucket. */
  async #takeRemote(signal: AbortSignal): Promise<void> {
    const { log } = this.#deps;
    for (
      ;
      this.#remote !== undefined && !signal.aborted;
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
    ) {
      try {
        await this.#remote.takeAll(backfillsFolder(this.#config), (directory) => this.#takeOrLog(directory));
      } catch (error) {
        log.warn({ error }, 'state.hand_overs_not_read');
      }
    }
  }

  async #takePending(): Promise<void> {
    const folder = backfillsFolder(this.#config);
    for (const name of await readdir(folder).catch(() => [])) {
      const directory = join(folder, name);
      const files = await readdir(directory).catch((): string[] => []);
      if (files.includes(ORDER_FILE)) await this.#takeOrLog(directory).catch(() => {});
    }
  }

  async #takeOrLog(directory: string): Promise<HandedOver> {
    try {
      return await this.takeOver(directory);
    } catch (error) {
      this.#deps.log.error({ error, directory }, 'state.hand_over_failed');
      throw error;
    }
  }

  /** @param directory - of a back-fill that has ended; one in the data directory is removed when its state was taken over */
  async takeOver(directory: string): Promise<HandedOver> {
    const { job, archive, broker, ...deps } = this.#deps;
    const file = join(directory, ORDER_FILE);
    const { options, views: ids, ...order } = parseCheckedJson(await readFile(file), requestSchema, { file });
    requireSameDefinitions(this.#config.catalog, order.definitions ?? {});
    const views = backfillViews(this.#config, options);
    const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
    const features = featuresOption(options) ?? {};
    const { allowedLatenessMs } = this.#config.pipeline;
    const merges = views.flatMap((view): [string, MergeCells][] => {
      const names = features[viewId(view)];
      return names === undefined ? [] : [[viewId(view), mergeOfFeatures(view, names, allowedLatenessMs)]];
    });
    const settle = async (list: ArchiveList): Promise<void> => {
      for (const view of views) {
        const [{ backfill, newSinceMs = {} }, id] = [order, viewId(view)];
        const sinceMs = newSinceMs[id];
        if (backfill === undefined || sinceMs === undefined) continue;
        const settlement = {
          ...{ backfill, sinceMs, computedAt: systemClock.now(), features: features[id] },
          completeSinceMs: completeSince(list, order.historyUntilMs ?? Number.NEGATIVE_INFINITY),
        };
        const rows = await deps.offline.features.settleBackfill(view, settlement);
        deps.log.info({ view: id, rows }, 'history.settled');
      }
    };
    const done = await handOver(
      { broker, archive, log: deps.log, pause: (work) => job.pause(work) },
      {
        topic: this.#config.topics.rawEvents,
        views: ids,
        missing: (list) => missingEventsOf(list, this.#config, ids, order),
        merges: new Map(merges),
        settle,
        directory,
        construct: (archiveUntil, onCaughtUp) =>
          constructBackfill({ ...deps, metrics, views, producer: broker.producer }, this.#config, options, {
            archiveUntil,
            onCaughtUp,
            ...(order.backfill === undefined ? {} : { backfill: order.backfill }),
          }),
      },
    );
    // The newest rows of history have the features now; those that are online were written without.
    for (const view of views) if (features[viewId(view)] !== undefined) await writeNewestOnline(view, deps);
    // A folder that the user named is the user's.
    const isOwn = directory.startsWith(`${backfillsFolder(this.#config)}/`);
    await rm(isOwn ? directory : file, { recursive: true, force: true });
    return done;
  }

  async drain(): Promise<void> {
    this.#stopped.abort();
    await this.#pending;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#pending;
  }
}
