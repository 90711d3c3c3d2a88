import { durationMs } from '#kernel/times/duration';
import { liveMetrics } from '#pipelines/transforms/drift/live_metrics';
import { canaryProgressSchema } from '#serving/routing/canary';
import { task } from '#workflows/tasks/task';
import { decidingMetric, gainOf } from '../compare_versions.ts';
import { inOffline, type RetrainingState, stepParts, type Watched } from '../retraining_run.ts';

const TRAIL = 50;
const MOST_ROWS = 20_000;

/** Reads how far the canary of the version has come. */
export const watchCanary = task(
  'model.canary@1',
  async (state: RetrainingState & { readonly staged: { readonly at: string } }, context): Promise<Watched> => {
    const parts = await stepParts(state.model, context);
    const { canaryWithin } = parts.settings;
    const trail = await inOffline(parts, ({ routing }) => routing.list(state.model, TRAIL));
    for (const { state: written } of trail) {
      const { success, data } = canaryProgressSchema.safeParse(written.canary);
      if (!success || data.version !== state.version?.version) continue;
      if (data.state === 'passed') return { state: 'passed', reason: data.reason };
      if (data.state === 'rolled_back') return { state: 'failed', reason: data.reason };
      break;
    }
    if (Date.now() - Date.parse(state.staged.at) > durationMs(canaryWithin)) {
      return { state: 'failed', reason: `it has not passed within ${canaryWithin}` };
    }
    return { state: 'running', reason: 'it is tried on a growing share of the entities' };
  },
);

/** Judges the version in production by what came true since its promotion. */
export const watchProduction = task('model.watch@1', async (state: RetrainingState, context): Promise<Watched> => {
  const parts = await stepParts(state.model, context);
  const { watch } = parts.settings;
  const { model } = state;
  const version = state.version?.version ?? 0;
  const promotedMs = Date.parse(state.promoted?.at ?? '');
  const judged = await inOffline(parts, ({ drift }) =>
    drift.judgedPredictions(promotedMs, MOST_ROWS, { model, version }),
  );
  const isOver = Date.now() - promotedMs >= durationMs(watch.for);
  const live = judged.length < watch.minLabels ? {} : liveMetrics(judged);
  const verdict = liveVerdict(state, parts.project.promotion[model], parts.settings, live);
  if (verdict?.isWorse === true) return { state: 'failed', reason: `${verdict.reason}, of ${judged.length} outcomes` };
  if (!isOver) return { state: 'running', reason: `${judged.length} outcomes so far` };
  const found = verdict?.reason ?? `${judged.length} outcomes, too few to judge by`;
  return { state: 'passed', reason: `nothing speaks against it within ${watch.for}: ${found}` };
});

/** Compares a version's live metric with what it was judged by; undefined where the metric is not known of both. */
export function liveVerdict(
  { comparison }: Pick<RetrainingState, 'comparison'>,
  gates: Parameters<typeof decidingMetric>[1],
  settings: Parameters<typeof decidingMetric>[0] & { readonly watch: { readonly drop: number } },
  live: Readonly<Record<string, number>>,
): { readonly isWorse: boolean; readonly reason: string } | undefined {
  const deciding = decidingMetric(settings, gates, live);
  const judged = deciding === undefined ? undefined : comparison?.metrics[deciding.metric];
  const now = deciding === undefined ? undefined : live[deciding.metric];
  if (deciding === undefined || judged === undefined || now === undefined) return undefined;
  const drop = deciding.better === 'lower' ? settings.watch.drop * Math.abs(judged) : settings.watch.drop;
  const reason = `${deciding.metric} ${now.toPrecision(4)} in production, ${judged.toPrecision(4)} when it was judged`;
  return { isWorse: gainOf(deciding, now, judged) < -drop, reason };
}
