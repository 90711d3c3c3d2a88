import { quantile } from '#kernel/statistics/bootstrap';
import type { ThresholdRule } from '../models/adaptive_threshold.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { PredictionRow } from '../prediction_store/prediction_store.ts';
import { type Answer, AnswerScorer } from './answer_scorer.ts';
import { type LoggedStores, loggedPages } from './logged_pages.ts';

/** A logged row that the version answers otherwise. */
export interface ChangedAnswer {
  readonly row: PredictionRow;
  readonly replayed: Answer;
  readonly distance: number;
}

/** A row whose outcome is known, with both answers. */
export interface JudgedAnswers {
  readonly logged: Answer;
  readonly replayed: Answer;
  readonly label: string | undefined;
  readonly value: number | undefined;
}

/** What a version answers to logged requests. */
export interface Replay {
  readonly rows: number;
  /** Answers whose prediction is the same. */
  readonly agreeing: number;
  /** By which version rows were answered. */
  readonly answeredBy: ReadonlyMap<number, number>;
  /** From what was answered to what is now, with the number of rows: those that differ. */
  readonly changes: ReadonlyMap<string, number>;
  /** Of the outputs, or of predictions that are numbers: the mean of the largest distance of a row. */
  readonly meanDistance: number;
  /** The largest distance first; of equal ones the newest. */
  readonly largest: readonly ChangedAnswer[];
  /** Rows that the version does not take, by problem. */
  readonly refused: ReadonlyMap<string, number>;
  /** The newest ones whose outcome is known. */
  readonly judged: readonly JudgedAnswers[];
  /** Of one row at a time, ms; undefined without rows. */
  readonly latency: { readonly p50: number; readonly p95: number } | undefined;
}

export interface ReplayQuery {
  readonly modelName: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly thresholds: readonly ThresholdRule[];
}

const LARGEST = 20;
const MOST_JUDGED = 200_000;
const MOST_PROBLEMS = 20;
const TIMED = 500;
/** Changes that are counted apart: of regressions each row has its own. */
const MOST_CHANGES = 100;

/**
 * Computes logged requests of a model again with another version of it, a page at a time: memory does not grow with the log.
 *
 * @param model - the version, which takes rows of columns
 */
export async function replayRequests(
  stores: LoggedStores,
  model: LoadedModel,
  { thresholds, ...of }: ReplayQuery,
): Promise<Replay> {
  const { encoder } = model;
  const scorer = new AnswerScorer(model, thresholds);
  const found = new FoundAnswers();
  const timesMs: number[] = [];
  for await (const { page, outcomeOf } of loggedPages(stores, of)) {
    const input = encoder.allocate(page.length);
    const taken: PredictionRow[] = [];
    for (const row of page) {
      const problems = encoder.encode(row.features, input, taken.length * encoder.width);
      if (problems === undefined) taken.push(row);
      else found.refuse(problems.map(({ field, problem }) => `${field} ${problem}`).join('; '));
    }
    const answers = await scorer.answers(input, taken.length);
    for (const [at, row] of taken.entries()) {
      const replayed = answers[at] as Answer;
      const outcome = outcomeOf(row);
      found.add(row, replayed, { label: outcome?.label, value: outcome?.value });
      if (timesMs.length < TIMED) {
        const one = input.subarray(at * encoder.width, (at + 1) * encoder.width);
        const beganMs = performance.now();
        await model.run(one, 1);
        timesMs.push(performance.now() - beganMs);
      }
    }
  }
  return found.result(timesMs.length === 0 ? undefined : { p50: quantile(timesMs, 0.5), p95: quantile(timesMs, 0.95) });
}

class FoundAnswers {
  #rows = 0;
  #agreeing = 0;
  #distance = 0;
  #largest: ChangedAnswer[] = [];
  #judged: JudgedAnswers[] = [];
  readonly #answeredBy = new Map<number, number>();
  readonly #changes = new Map<string, number>();
  readonly #refused = new Map<string, number>();

  refuse(problem: string): void {
    count(this.#refused, this.#refused.has(problem) || this.#refused.size < MOST_PROBLEMS ? problem : 'other problems');
  }

  add(row: PredictionRow, replayed: Answer, { label, value }: Pick<JudgedAnswers, 'label' | 'value'>): void {
    this.#rows += 1;
    count(this.#answeredBy, row.modelVersion);
    const distance = distanceOf(row, replayed);
    this.#distance += Number.isFinite(distance) ? distance : 0;
    if (row.prediction === replayed.prediction) this.#agreeing += 1;
    else {
      const change = `${row.prediction} → ${replayed.prediction}`;
      count(this.#changes, this.#changes.has(change) || this.#changes.size < MOST_CHANGES ? change : 'other changes');
    }
    if (distance > 0) this.#keep({ row, replayed, distance });
    if (label === undefined && value === undefined) return;
    this.#judged.push({ logged: row, replayed, label, value });
    // Cut off in whole parts: one by one would move the rest each time.
    if (this.#judged.length >= 2 * MOST_JUDGED) this.#judged = this.#judged.slice(-MOST_JUDGED);
  }

  #keep(changed: ChangedAnswer): void {
    const least = this.#largest.at(-1);
    if (least !== undefined && this.#largest.length >= LARGEST && changed.distance < least.distance) return;
    const place = this.#largest.findIndex(({ distance }) => distance <= changed.distance);
    this.#largest.splice(place < 0 ? this.#largest.length : place, 0, changed);
    if (this.#largest.length > LARGEST) this.#largest.pop();
  }

  result(latency: Replay['latency']): Replay {
    return {
      ...{ rows: this.#rows, agreeing: this.#agreeing, answeredBy: this.#answeredBy, changes: this.#changes },
      ...{ meanDistance: this.#rows === 0 ? 0 : this.#distance / this.#rows, largest: this.#largest },
      ...{ refused: this.#refused, judged: this.#judged.slice(-MOST_JUDGED), latency },
    };
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** The largest distance between outputs; of predictions that are numbers their distance; infinite where they cannot be compared and differ. */
function distanceOf(logged: Answer, replayed: Answer): number {
  if (logged.probabilities === undefined || replayed.probabilities === undefined) {
    if (logged.prediction === replayed.prediction) return 0;
    const distance = Math.abs(Number(logged.prediction) - Number(replayed.prediction));
    return Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance;
  }
  const names = Object.keys({ ...logged.probabilities, ...replayed.probabilities });
  return Math.max(
    0,
    ...names.map((name) => {
      const [was, is] = [logged.probabilities?.[name], replayed.probabilities?.[name]];
      return was === undefined || is === undefined ? Number.POSITIVE_INFINITY : Math.abs(is - was);
    }),
  );
}
