import type { LogRecord } from '#connectors/connector';
import { stableHash32 } from '#kernel/hash';
import { addToSample, type HashSample, mergeSamples } from '#kernel/hash_sample';
import type { EventTime } from '#kernel/time';
import type { CellValue } from '#monitoring/drift/column_drift';

/** A prediction as the log has it, as far as drift is concerned. */
export interface MonitoredPrediction {
  readonly model: string;
  readonly version: number;
  readonly features: Readonly<Record<string, unknown>>;
  readonly prediction: string;
  /** By class, distances, or the anomaly score; null for regressions. */
  readonly probabilities: Readonly<Record<string, number>> | null;
  /** Tells rows apart. */
  readonly hash: number;
}

interface Logged {
  readonly predictionId?: unknown;
  readonly requestId?: unknown;
  readonly rowIndex?: unknown;
  readonly modelName?: unknown;
  readonly modelVersion?: unknown;
  readonly features?: unknown;
  readonly prediction?: unknown;
  readonly probabilities?: unknown;
  readonly predictedAtMs?: unknown;
}

/** Reads records of the predictions topic; undefined elements are none, and count nowhere. */
export function decodePrediction(
  { value }: LogRecord,
  _watermark: EventTime,
): { readonly element: MonitoredPrediction | undefined; readonly eventTimeMs: number | undefined } {
  let logged: Logged;
  try {
    logged = JSON.parse(value.toString('utf8')) as Logged;
  } catch {
    return { element: undefined, eventTimeMs: undefined };
  }
  const { predictionId, requestId, rowIndex, modelName, modelVersion, features, prediction, probabilities, predictedAtMs } = logged;
  if (typeof modelName !== 'string' || typeof modelVersion !== 'number' || typeof predictedAtMs !== 'number') {
    return { element: undefined, eventTimeMs: undefined };
  }
  return {
    element: {
      ...{ model: modelName, version: modelVersion, prediction: String(prediction) },
      features: (features ?? {}) as MonitoredPrediction['features'],
      probabilities: (probabilities ?? null) as MonitoredPrediction['probabilities'],
      hash: stableHash32(`${predictionId ?? requestId}#${rowIndex}`),
    },
    eventTimeMs: predictedAtMs,
  };
}

/** Rows kept of a window. */
const SAMPLE_ROWS = 2_000;

type SampledRow = Pick<MonitoredPrediction, 'features' | 'prediction' | 'probabilities'>;

/** Predictions of a version in a window, so far. */
export interface PredictionWindow {
  rows: number;
  readonly sample: HashSample<SampledRow>;
}

/** Gathers them: how many there were, and some of them at random. */
export const predictionWindowFn = {
  createAccumulator: (): PredictionWindow => ({ rows: 0, sample: [] }),
  addInput(
    into: PredictionWindow,
    { hash, features, prediction, probabilities }: MonitoredPrediction,
  ): PredictionWindow {
    into.rows += 1;
    addToSample(into.sample, hash, () => ({ features, prediction, probabilities }), SAMPLE_ROWS);
    return into;
  },
  mergeAccumulators(all: Iterable<PredictionWindow>): PredictionWindow {
    const merged: PredictionWindow = { rows: 0, sample: [] };
    for (const { rows, sample } of all) {
      merged.rows += rows;
      mergeSamples(merged.sample, sample, SAMPLE_ROWS);
    }
    return merged;
  },
  extractOutput: (window: PredictionWindow): PredictionWindow => window,
};

/** A column of the sampled rows; undefined where there is no value. */
export const valuesOf = ({ sample }: PredictionWindow, column: string): readonly (CellValue | undefined)[] =>
  sample.map(([, { features }]) => {
    const value = features[column];
    return typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean' ? value : undefined;
  });

/**
 * One number a row that tells how a model sees it: the probability of the last class, the distance to the nearest centre, the anomaly score, or the
 * predicted value.
 */
export const scoresOf = ({ sample }: PredictionWindow): readonly number[] =>
  sample
    .map(([, { prediction, probabilities }]) =>
      probabilities === null ? Number(prediction) : (Object.values(probabilities).at(-1) ?? Number.NaN),
    )
    .filter((score) => Number.isFinite(score));
