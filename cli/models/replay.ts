import Table from 'cli-table3';
import { isoTime } from '#kernel/time';
import { liveMetrics } from '#pipelines/transforms/drift/live_metrics';
import { type JudgedAnswers, type Replay, replayRequests } from '#serving/batch/replay_requests';
import { LoadedModel } from '#serving/models/loaded_model';
import { openRegistry } from '../parts/open_registry.ts';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { timeOption } from '../terminal/options.ts';
import { print } from '../terminal/print.ts';
import { versionOf } from './models.ts';

export interface ReplayOptions {
  readonly since: string;
  readonly until?: string;
  readonly json: boolean;
}

/** `headwater models replay NAME VERSION --since TIME`: what a version answers to the requests that others have answered. */
export async function replayModel(name: string, version: number, options: ReplayOptions): Promise<void> {
  const sinceMs = timeOption('--since', options.since) as number;
  const untilMs = timeOption('--until', options.until) ?? Date.now();
  const project = await loadProject();
  const registry = openRegistry(project);
  try {
    const model = await LoadedModel.load(await registry.download(await versionOf(registry, name, version)), {
      isRepeatable: true,
    });
    await replayWith(model);
  } finally {
    await registry.close();
  }

  async function replayWith(model: LoadedModel): Promise<void> {
    try {
      if (model.rowsProblem !== undefined)
        throw new CommandFailedError(`version ${version} of ${name} takes no rows of columns: ${model.rowsProblem}`);
      const thresholds = project.serving.models.find((served) => served.name === name)?.thresholds ?? [];
      const replay = await withOffline(project, (offline) =>
        replayRequests(offline, model, { modelName: name, sinceMs, untilMs, thresholds }),
      );
      const of = { model: name, version, since: isoTime(sinceMs), until: isoTime(untilMs) };
      if (options.json) print(JSON.stringify({ ...of, ...jsonOf(replay) }));
      else {
        print(`${name} ${version} on the requests from ${of.since} to ${of.until}`);
        printReplay(replay);
      }
    } finally {
      await model.release();
    }
  }
}

const metricsOf = (judged: readonly JudgedAnswers[], side: 'logged' | 'replayed') =>
  liveMetrics(
    judged.map(({ [side]: { prediction, probabilities }, label, value }) => ({
      ...{ model: '', version: 0, prediction, probabilities: probabilities ?? null },
      ...{ label: label ?? null, value: value ?? null },
    })),
  );

const jsonOf = ({ judged, largest, ...replay }: Replay) => ({
  ...{ rows: replay.rows, agreement: replay.rows === 0 ? null : replay.agreeing / replay.rows },
  ...{ answered_by: Object.fromEntries(replay.answeredBy), changes: Object.fromEntries(replay.changes) },
  ...{ mean_distance: replay.meanDistance, refused: Object.fromEntries(replay.refused) },
  latency_ms: replay.latency ?? null,
  metrics: {
    judged: judged.length,
    ...{ logged: metricsOf(judged, 'logged'), replayed: metricsOf(judged, 'replayed') },
  },
  largest: largest.map(({ row, replayed, distance }) => ({
    ...{ prediction_id: row.predictionId, row_index: row.rowIndex, time: isoTime(row.predictedAtMs) },
    ...{
      entity: row.entityKey ?? null,
      version: row.modelVersion,
      distance: Number.isFinite(distance) ? distance : null,
    },
    logged: { prediction: row.prediction, outputs: row.probabilities ?? {} },
    replayed: { prediction: replayed.prediction, outputs: replayed.probabilities ?? {} },
  })),
});

function printReplay(replay: Replay): void {
  const { rows, agreeing, meanDistance, largest, judged, latency } = replay;
  const answered = [...replay.answeredBy].map(([by, count]) => `${count} by version ${by}`);
  print(`  rows        ${rows}${answered.length === 0 ? '' : `, answered ${answered.join(', ')}`}`);
  if (rows > 0)
    print(
      `  agreement   ${figure((100 * agreeing) / rows)} % of the predictions; outputs differ by ${figure(meanDistance)} on average`,
    );
  for (const [change, count] of replay.changes) print(`              ${change}: ${count} rows`);
  for (const [problem, count] of replay.refused) print(`  refused     ${count} rows: ${problem}`);
  if (latency !== undefined)
    print(`  latency     p50 ${figure(latency.p50)} ms, p95 ${figure(latency.p95)} ms, one row at a time`);
  const logged = metricsOf(judged, 'logged');
  const replayed = metricsOf(judged, 'replayed');
  for (const metric of Object.keys({ ...logged, ...replayed }))
    print(
      `  ${metric.padEnd(11)} ${figure(logged[metric])} → ${figure(replayed[metric])}, of ${judged.length} rows with an outcome`,
    );
  if (judged.length === 0) print('  metrics     none: no outcome of these rows is known');
  if (largest.length === 0) return;
  const table = new Table({
    head: ['time', 'entity', 'answered', 'replayed', 'distance', 'prediction id', 'row'],
    style: { head: [], border: [] },
  });
  for (const { row, replayed: is, distance } of largest) {
    table.push([
      ...[isoTime(row.predictedAtMs), row.entityKey ?? '', row.prediction, is.prediction],
      ...[Number.isFinite(distance) ? figure(distance) : '', row.predictionId, row.rowIndex],
    ]);
  }
  print(
    `The largest differences (headwater why prediction ID --row ROW explains what was answered):\n${table.toString()}`,
  );
}

const figure = (value: number | undefined): string =>
  value === undefined ? 'none' : String(Number(value.toPrecision(4)));
