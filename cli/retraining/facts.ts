import { durationMs } from '#kernel/times/duration';
import { estimatePerformance, fitCalibration } from '#monitoring/drift/estimated_performance';
import { liveMetrics, scoredLabels } from '#pipelines/transforms/drift/live_metrics';
import type { ModelRegistry } from '#registry/model_registry';
import { feedbackLabels } from '#serving/prediction_store/feedback_labels';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import type { Retraining } from '../project/config/retraining_config.ts';
import type { Project } from '../project/project.ts';
import { decidingMetric } from './compare_versions.ts';
import { type RetrainingFacts, standardErrorOf } from './triggers.ts';

interface Parts {
  readonly offline: Pick<OfflineDatabase, 'drift' | 'sql'>;
  readonly registry: ModelRegistry;
  readonly project: Pick<Project, 'training' | 'promotion' | 'monitor'>;
  readonly nowMs: number;
  readonly firstScores: FirstScores;
}

const MOST_ROWS = 5_000;
/** Predictions that an estimate needs. */
const FEWEST_ROWS = 500;

/** Scores of the first predictions of versions, which do not change once there are enough of them: each is read until then. */
export class FirstScores {
  readonly #kept = new Map<string, { readonly version: number; readonly scores: readonly number[] }>();

  async of(drift: OfflineDatabase['drift'], model: string, version: number): Promise<readonly number[]> {
    const known = this.#kept.get(model);
    if (known?.version === version) return known.scores;
    const scores = await drift.scores({ model, version }, { sinceMs: 0, order: 'oldest', limit: MOST_ROWS });
    if (scores.length === MOST_ROWS) this.#kept.set(model, { version, scores });
    return scores;
  }
}

/** Reads what is known of a model; undefined where no version is in production. */
export async function readFacts(
  { offline, registry, project, nowMs, firstScores }: Parts,
  model: string,
  settings: Retraining,
): Promise<RetrainingFacts | undefined> {
  const champion = await registry.resolve(model, { stage: 'Production' });
  if (champion === undefined) return undefined;
  const { triggers } = settings;
  const of = { model, version: champion.version };
  const deciding = decidingMetric(settings, project.promotion[model], champion.metrics);
  const { drift } = triggers;
  const [reports, live, estimated, labels, versions] = await Promise.all([
    drift === undefined ? [] : offline.drift.list({ ...of, limit: drift.windows }),
    readLive(),
    readEstimate(),
    countLabels(nowMs - durationMs(settings.window), 'event_time'),
    registry.listVersions(model),
  ]);
  const newestMs = versions.reduce((latest, { createdAtMs }) => Math.max(latest, createdAtMs), 0);
  return {
    ...{ version: champion.version, deciding, live, estimated, labels },
    reference: deciding === undefined ? undefined : champion.metrics[deciding.metric],
    drifted: reports.map(({ columns }) =>
      columns.filter(({ kind, drifted }) => kind === 'feature' && drifted).map(({ column }) => column),
    ),
    newLabels: triggers.newLabels === undefined ? 0 : await countLabels(newestMs, 'known_at'),
  };

  async function readLive(): Promise<RetrainingFacts['live']> {
    const { performance } = triggers;
    if (performance === undefined || deciding === undefined) return undefined;
    const rows = await offline.drift.judgedPredictions(nowMs - durationMs(performance.window), MOST_ROWS, of);
    const minLabels = project.monitor.models[model]?.minLabels ?? project.monitor.minLabels;
    const value = rows.length < minLabels ? undefined : liveMetrics(rows)[deciding.metric];
    if (value === undefined) return undefined;
    const scored = scoredLabels(rows).labels;
    const positives = scored.reduce((sum, label) => sum + label, 0);
    const counts = { positives, negatives: rows.length - positives };
    return { value, standardError: standardErrorOf(deciding.metric, value, counts), outcomes: rows.length };
  }

  async function readEstimate(): Promise<RetrainingFacts['estimated']> {
    const { estimated: estimate } = triggers;
    if (estimate === undefined) return undefined;
    const sinceMs = nowMs - durationMs(estimate.window);
    const [first, newest, judged] = await Promise.all([
      firstScores.of(offline.drift, of.model, of.version),
      offline.drift.scores(of, { sinceMs, order: 'newest', limit: MOST_ROWS }),
      offline.drift.judgedPredictions(0, MOST_ROWS, of),
    ]);
    if (newest.length < FEWEST_ROWS) return undefined;
    const { labels: outcomes, scores } = scoredLabels(judged);
    const isJudged = outcomes.length >= project.monitor.minLabels && new Set(outcomes).size === 2;
    const calibrated = isJudged ? fitCalibration(scores, outcomes) : undefined;
    const [was, now] = [first, newest].map((sample) => estimatePerformance(sample, 0.5, calibrated));
    if (was === undefined || now === undefined || Number.isNaN(was.auc) || Number.isNaN(now.auc)) return undefined;
    const standardError = standardErrorOf('auc', now.auc, now);
    return { value: now.auc, standardError, first: was.auc, rows: newest.length };
  }

  /** @param by - the labels' own times, or when they became known, where that is kept */
  async function countLabels(sinceMs: number, by: 'event_time' | 'known_at'): Promise<number> {
    const origin = project.training[model]?.labels;
    if (origin === undefined || 'each' in origin) return Number.POSITIVE_INFINITY;
    const [text, parameters] =
      'source' in origin
        ? ['SELECT count(*)::integer AS n FROM labels WHERE source = $2 AND event_time >= $1', [origin.source]]
        : [
            `SELECT count(*)::integer AS n FROM (${feedbackLabels(model, origin.feedback)}) AS labels
             WHERE labels.${by} >= $1`,
            [],
          ];
    const [row] = await offline.sql.query<{ readonly n: number }>(text, [new Date(sinceMs), ...parameters]);
    return row?.n ?? 0;
  }
}
