import type { LogRecord } from '#connectors/connector';
import { earlierAttempts } from '#connectors/dead_letters/dead_letters';
import { messageOf } from '#kernel/errors';
import { stableHash32 } from '#kernel/hashes/hash';
import { addToSample, type HashSample, mergeSamples } from '#kernel/hashes/hash_sample';
import { unstorableTextIn } from '#kernel/text/unstorable_text';
import { DAY_MS, type EventTime } from '#kernel/time';
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

/** A record of the predictions topic that is no prediction, and why. */
export interface UnreadablePrediction {
  readonly payload: string;
  readonly reason: string;
  readonly attempt: number;
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

interface Decoded {
  readonly element: MonitoredPrediction | UnreadablePrediction;
  readonly eventTimeMs: number | undefined;
}

/** Versions are integers of four bytes in the offline store. */
const LARGEST_VERSION = 2 ** 31 - 1;

/** Reads records of the predictions topic, to which others may write too: everything that is used is checked. */
export function decodePrediction(record: LogRecord, _watermark: EventTime): Decoded {
  const payload = record.value.toString('utf8');
  const refuse = (reason: string): Decoded => ({
    element: { payload, reason, attempt: earlierAttempts(record) + 1 },
    eventTimeMs: undefined,
  });
  let logged: Logged;
  try {
    logged = JSON.parse(payload) as Logged;
  } catch (error) {
    return refuse(`not JSON: ${messageOf(error)}`);
  }
  if (!isObject(logged)) return refuse('not a JSON object');
  // A CloudEvent in structured mode; in binary mode the value is the prediction.
  const { specversion, data } = logged as { readonly specversion?: unknown; readonly data?: unknown };
  if (typeof specversion === 'string') {
    if (!isObject(data)) return refuse('the CloudEvent has no data that is a JSON object');
    logged = data as Logged;
  }
  const unstorable = unstorableTextIn(logged);
  if (unstorable !== undefined) return refuse(`${unstorable.path} ${unstorable.problem}`);
  const {
    predictionId,
    requestId,
    rowIndex,
    modelName,
    modelVersion,
    features,
    prediction,
    probabilities,
    predictedAtMs,
  } = logged;
  if (typeof modelName !== 'string' || modelName === '') return refuse('modelName must be a string');
  if (
    !(Number.isInteger(modelVersion) && (modelVersion as number) >= 0 && (modelVersion as number) <= LARGEST_VERSION)
  ) {
    return refuse(`modelVersion must be an integer up to ${LARGEST_VERSION}`);
  }
  // A broken clock must not move the watermark.
  if (typeof predictedAtMs !== 'number' || predictedAtMs < 0 || predictedAtMs > Date.now() + DAY_MS) {
    return refuse('predictedAtMs must be a time, ms since 1970, no later than tomorrow');
  }
  if (features !== undefined && features !== null && !isObject(features)) return refuse('features must be an object');
  if (probabilities !== undefined && probabilities !== null && !isObject(probabilities)) {
    return refuse('probabilities must be an object');
  }
  return {
    element: {
      ...{ model: modelName, version: modelVersion as number, prediction: String(prediction) },
      features: (features ?? {}) as MonitoredPrediction['features'],
      probabilities: (probabilities ?? null) as MonitoredPrediction['probabilities'],
      hash: stableHash32(`${predictionId ?? requestId}#${rowIndex}`),
    },
    eventTimeMs: predictedAtMs,
  };
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

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
  identity: 'prediction window 1',
  // Windows of another length begin with what comes from now on.
  whenChanged: 'restart' as const,
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
