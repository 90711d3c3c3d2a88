import { setImmediate } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { ConnectionError, RecordRefusedError } from '#connectors/errors';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { PredictionLog } from '#serving/prediction_store/prediction_log';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';
import { withFeatures } from '#serving/prediction_store/sql_predictions';

const row = (id: string): NewPrediction => ({
  ...{
    requestId: id,
    predictionId: id,
    rowIndex: 0,
    modelName: 'm',
    modelVersion: 1,
    features: {},
    prediction: 'yes',
    predictedAtMs: 1,
  },
});

/** A sink that refuses some rows, and is away for some calls. */
class FlakySink {
  readonly target: string;
  readonly written: string[] = [];
  readonly #refused: ReadonlySet<string>;
  #away: number;

  constructor(target: string, refused: ReadonlySet<string>, away: number) {
    this.target = target;
    this.#refused = refused;
    this.#away = away;
  }

  async write(rows: readonly NewPrediction[]): Promise<void> {
    if (this.#away > 0) {
      this.#away -= 1;
      throw new ConnectionError('the sink', new Error('down'));
    }
    const bad = rows.find(({ requestId }) => this.#refused.has(requestId));
    if (bad !== undefined) throw new RecordRefusedError('the sink', 'rows', bad.requestId, 'poisoned');
    this.written.push(...rows.map(({ requestId }) => requestId));
  }
}

test('each sink has each row once, but those that it refuses, whatever the others do', async () => {
  const ids = Array.from({ length: 60 }, (_, index) => `r${index}`);
  const sink = fc.record({
    refused: fc.uniqueArray(fc.constantFrom(...ids), { maxLength: 6 }),
    away: fc.nat({ max: 2 }),
  });
  await fc.assert(
    fc.asyncProperty(sink, sink, async (one, two) => {
      const sinks = [one, two].map(({ refused, away }, n) => new FlakySink(`sink ${n}`, new Set(refused), away));
      const letters: DeadLetter[] = [];
      const deadLetters = { write: async (some: readonly DeadLetter[]) => void letters.push(...some) };
      const metrics = createMetricsRegistry({ process: false });
      const log = new PredictionLog({ sinks, deadLetters, log: silentLogger, metrics }, { maxPending: 1_000 });
      for (const id of ids) log.add({ count: 1, logged: () => row(id) });
      await log.drain();
      for (const [n, { refused }] of [one, two].entries()) {
        expect(sinks[n]?.written).toEqual(ids.filter((id) => !refused.includes(id)));
        const dead = letters.filter(({ stage }) => stage === `prediction_log.sink_${n}`);
        expect(dead.map(({ payload }) => (JSON.parse(payload) as NewPrediction).requestId)).toEqual(
          ids.filter((id) => refused.includes(id)),
        );
      }
      expect(await metrics.metrics()).toContain('prediction_log_dropped_total 0');
    }),
    { numRuns: 20 },
  );
});

test('a row that cannot be made is dropped and counted; a sink that is away does not hold up the end of the process', async () => {
  const metrics = createMetricsRegistry({ process: false });
  const away = new FlakySink('away', new Set(), Number.POSITIVE_INFINITY);
  const there = new FlakySink('there', new Set(), 0);
  const log = new PredictionLog(
    { sinks: [away, there], deadLetters: { write: async () => {} }, log: silentLogger, metrics },
    { maxPending: 1_000 },
  );
  const fail = (): never => {
    throw new Error('no row');
  };
  log.add({ count: 3, logged: (index) => (index === 1 ? fail() : row(`r${index}`)) });
  await log.drain();
  expect(there.written).toEqual(['r0', 'r2']);
  expect(await metrics.metrics()).toContain('prediction_log_dropped_total 3');
});

test('requests that never pause do not fill it faster than it is written', async () => {
  const metrics = createMetricsRegistry({ process: false });
  let written = 0;
  const write = async ({ length }: readonly NewPrediction[]): Promise<void> => {
    written += length;
  };
  const deadLetters = { write: async () => {} };
  const log = new PredictionLog(
    { sinks: [{ target: 'topic', write }], deadLetters, log: silentLogger, metrics },
    { maxPending: 20_000 },
  );
  const [one, turns, rows] = [row('r'), 200, 800];
  for (let turn = 0; turn < turns; turn += 1) {
    log.add({ count: rows, logged: () => one });
    void log.flush();
    await setImmediate();
  }
  await log.drain();
  expect(written).toBe(turns * rows);
  expect(await metrics.metrics()).toContain('prediction_log_dropped_total 0');
});

test('the features of a row are written out once for all sinks; what cannot be written is refused by each', async () => {
  let times = 0;
  const counted = {
    toJSON: () => {
      times += 1;
      return 7;
    },
  };
  const written = new Set<string>();
  const letters: DeadLetter[] = [];
  const sinks = ['topic', 'table'].map((target) => ({
    target,
    write: async (rows: readonly NewPrediction[]) => {
      for (const { features, ...row } of rows) {
        if (row.requestId === 'large') throw new RecordRefusedError(target, 'rows', 'large', 'an integer');
        written.add(`${target} ${withFeatures({ id: row.requestId }, features)}`);
      }
    },
  }));
  const deadLetters = { write: async (some: readonly DeadLetter[]) => void letters.push(...some) };
  const metrics = createMetricsRegistry({ process: false });
  const log = new PredictionLog({ sinks, deadLetters, log: silentLogger, metrics }, { maxPending: 10 });
  log.add({ count: 1, logged: () => ({ ...row('a'), features: { n: counted } }) });
  log.add({ count: 1, logged: () => ({ ...row('large'), features: { n: 1n } }) });
  await log.flush();
  expect(times).toBe(1);
  const value = '{"id":"a","features":{"n":7}}';
  expect([...written].sort()).toEqual([`table ${value}`, `topic ${value}`]);
  expect(letters.map(({ stage }) => stage).sort()).toEqual(['prediction_log.table', 'prediction_log.topic']);
});
