import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { encodeRows } from '#connectors/files/encode_rows';
import { FilePieces } from '#connectors/files/file_pieces';
import { createFileSystems } from '#connectors/files/file_systems';
import { eventTime } from '#kernel/time';
import { create, parDo, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { type Inference, runInference } from '#serving/batch/run_inference';
import { partsOf, type ScoreFilesSettings, scoreFiles } from '#serving/batch/score_files';
import { LoadedModel } from '#serving/models/loaded_model';
import { tinyModel, tinyScore } from '../../../support/platforms/tiny_model.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'batch-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const load = () => LoadedModel.load(tinyModel(0), { isRepeatable: true });
const rowsOf = (from: number, count: number) =>
  Array.from({ length: count }, (_, at) => ({
    ...{ id: `row-${from + at}`, amount: (from + at) / 7, count: (from + at) % 9, weekend: at % 2 === 0 },
    category: at % 3 === 0 ? 'a' : 'b',
  }));
type InputRow = ReturnType<typeof rowsOf>[number];
const scoreOf = ({ amount, count, weekend, category }: InputRow): number =>
  tinyScore(0, [amount, count, weekend ? 1 : 0, category === 'a' ? 0.1 : 0.7]);

async function scoreAll(changes: Partial<ScoreFilesSettings> = {}): Promise<void> {
  const settings: ScoreFilesSettings = {
    ...{ patterns: [join(folder, 'in/**')], directory: join(folder, 'out'), format: 'parquet', ...changes },
  };
  const parts = await partsOf(settings);
  await runToEnd((root) => void root.apply(scoreFiles(parts, load, settings)));
}

async function answers(pattern = join(folder, 'out/*')): Promise<Record<string, unknown>[]> {
  const pieces = new FilePieces(createFileSystems());
  const rows: Record<string, unknown>[] = [];
  for (const path of await pieces.find([pattern])) {
    const { columns } = await pieces.readColumns(path, 0, Number.MAX_SAFE_INTEGER);
    for (let at = 0; at < columns.rows; at += 1) {
      rows.push(Object.fromEntries([...columns.values].map(([name, values]) => [name, values[at]])));
    }
  }
  return rows;
}

const put = (name: string, bytes: Uint8Array): void => {
  mkdirSync(join(folder, 'in'), { recursive: true });
  writeFileSync(join(folder, 'in', name), bytes);
};

test('every format in and out: each row once, with the score that serving gives', async () => {
  const parts = [rowsOf(0, 500), rowsOf(500, 300), rowsOf(800, 200), rowsOf(1_000, 100)];
  put('one.parquet', encodeRows('parquet', parts[0] as InputRow[]));
  put('two.jsonl', encodeRows('jsonl', parts[1] as InputRow[]));
  put('three.csv', encodeRows('csv', parts[2] as InputRow[]));
  put('four.jsonl.gz', gzipSync(encodeRows('jsonl', parts[3] as InputRow[])));
  const expected = new Map(parts.flat().map((row) => [row.id, scoreOf(row)]));
  for (const format of ['parquet', 'jsonl', 'csv'] as const) {
    rmSync(join(folder, 'out'), { recursive: true, force: true });
    await scoreAll({ format });
    const found = await answers();
    expect(new Set(found.map(({ id }) => id))).toEqual(new Set(expected.keys()));
    expect(found).toHaveLength(1_100);
    for (const { id, prediction, probability_fraud: fraud, ...rest } of found) {
      const wanted = expected.get(id as string) as number;
      expect(Number(fraud)).toBeCloseTo(wanted, 5);
      expect(prediction).toBe(wanted >= 0.5 ? 'fraud' : 'legitimate');
      // What the model takes does not go along unless it is asked for.
      expect(Object.keys(rest)).toEqual(['probability_legitimate']);
    }
  }
  rmSync(join(folder, 'out'), { recursive: true, force: true });
  await scoreAll({ keep: ['amount'] });
  expect(Object.keys((await answers())[0] as object)).toEqual([
    ...['amount', 'prediction', 'probability_legitimate', 'probability_fraud'],
  ]);
});

test('booleans of CSV are written out, or 0 and 1 as in training sets', async () => {
  const rows = rowsOf(0, 6);
  put(
    'rows.csv',
    encodeRows(
      'csv',
      rows.map((row) => ({ ...row, weekend: Number(row.weekend) })),
    ),
  );
  await scoreAll();
  const found = new Map((await answers()).map((each) => [each.id, Number(each.probability_fraud)]));
  for (const row of rows) expect(found.get(row.id)).toBeCloseTo(scoreOf(row), 5);
});

test('rows that the model cannot take lie apart, with the reasons; NaN and nothing are missing', async () => {
  const rows: Record<string, unknown>[] = rowsOf(0, 10);
  rows[3] = { ...rows[3], category: 'z', amount: null };
  rows[5] = { ...rows[5], count: 1.5 };
  rows[7] = { id: 'row-7', amount: 2 };
  put('rows.jsonl', Buffer.concat([encodeRows('jsonl', rows), Buffer.from('{"amount": \n')]));
  await scoreAll();
  const found = await answers();
  expect(found.map(({ id }) => id)).toEqual([0, 1, 2, 4, 6, 7, 8, 9].map((at) => `row-${at}`));
  expect(found.find(({ id }) => id === 'row-7')?.probability_fraud).toBeCloseTo(
    tinyScore(0, [2, Number.NaN, 0, Number.NaN]),
    5,
  );
  const [file] = readdirSync(join(folder, 'out/refused')) as [string];
  const refused = readFileSync(join(folder, 'out/refused', file), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(refused).toMatchObject([
    { text: '{"amount": ' },
    {
      problems: ['amount is required', '"z" is not one of a, b'].map((each) => expect.stringContaining(each)),
      row: { id: 'row-3' },
    },
    { problems: ['count must be an integer'], row: { id: 'row-5' } },
  ]);
});

test('integers of 64 bits go along exactly, and are refused where the model takes numbers; text that no store takes is refused', async () => {
  const ids = [2n ** 53n + 1n, -(2n ** 63n), 5n, 6n, 7n];
  const rows = ids.map((id, at) => ({ ...(rowsOf(at, 1)[0] as InputRow), id }));
  const counts = rows.map((row, at) => ({
    ...row,
    count: at === 2 ? 2n ** 53n + 1n : 3n,
    category: at === 3 ? 'a\0' : 'a',
  }));
  put('ids.parquet', encodeRows('parquet', counts));
  for (const format of ['jsonl', 'csv', 'parquet'] as const) {
    rmSync(join(folder, 'out'), { recursive: true, force: true });
    await scoreAll({ format });
    expect((await answers()).map(({ id }) => String(id)).sort()).toEqual([String(ids[0]), String(ids[1]), '7'].sort());
    const [file] = readdirSync(join(folder, 'out/refused')) as [string];
    const text = readFileSync(join(folder, 'out/refused', file), 'utf8');
    const refused = text.trimEnd().split('\n');
    expect(refused.map((line) => JSON.parse(line))).toEqual([
      {
        file: join(folder, 'in', 'ids.parquet'),
        problems: ['category: holds a NUL character (U+0000)'],
        text: expect.stringContaining('"id":6'),
      },
      {
        file: join(folder, 'in', 'ids.parquet'),
        problems: [expect.stringMatching(/^count holds the number 9007199254740993, which no double holds exactly/)],
        row: expect.objectContaining({ id: 5, count: '9007199254740993' }),
      },
    ]);
  }
});

test('what was stopped goes on: parts that are done are left alone, one that was being written is written again', async () => {
  for (let file = 0; file < 6; file += 1) put(`${file}.jsonl`, encodeRows('jsonl', rowsOf(file * 50, 50)));
  await scoreAll();
  const before = await answers();
  const out = join(folder, 'out');
  const files = readdirSync(out).filter((name) => name.endsWith('.parquet'));
  // What is written again is newer.
  for (const name of files) utimesSync(join(out, name), new Date(0), new Date(0));
  const times = new Map(files.map((name) => [name, statSync(join(out, name)).mtimeMs]));
  // Killed between the answers of one part and its mark, and before another.
  const [unmarked, missing] = files as [string, string];
  const markOf = (name: string) => join(out, '_done', name.replace('.parquet', '.json'));
  rmSync(markOf(unmarked));
  rmSync(markOf(missing));
  rmSync(join(out, missing));
  await scoreAll();
  expect(await answers()).toEqual(before);
  for (const name of files) {
    const isSame = statSync(join(out, name)).mtimeMs === times.get(name);
    expect([name, isSame]).toEqual([name, name !== unmarked && name !== missing]);
    expect(existsSync(markOf(name))).toBe(true);
  }
});

test('runInference: elements keep their times and windows, bad ones say why, bundles go through the model together', async () => {
  const rows: Record<string, unknown>[] = rowsOf(0, 700);
  rows[13] = { id: 'row-13' };
  const sizes: number[] = [];
  const loading = async () => {
    const model = await load();
    const run = model.run.bind(model);
    model.run = (input, count) => {
      sizes.push(count);
      return run(input, count);
    };
    return { model, version: 4 };
  };
  const found: Collected<{ inference: Inference<Record<string, unknown>>; window: number }>[] = [];
  await runToEnd((root) => {
    const scored = root
      .apply(create(rows))
      .apply(
        parDo<Record<string, unknown>, Record<string, unknown>>(
          { process: (row, context) => context.output(row, eventTime(Number(String(row.id).slice(4)) * 1_000)) },
          { name: 'Times' },
        ),
      )
      .apply(windowInto({ windowFn: fixedWindows(60) }))
      .apply(runInference({ load: loading, maxBatch: 100, featuresOf: ({ id: _, ...features }) => features }));
    const windowed = scored.apply(
      parDo<Inference<Record<string, unknown>>, { inference: Inference<Record<string, unknown>>; window: number }>(
        { process: (inference, context) => context.output({ inference, window: context.window.start }) },
        { name: 'Windows' },
      ),
    );
    collectInto(windowed, found);
  });
  expect(found).toHaveLength(700);
  for (const { value, timestamp } of found) {
    const { inference, window } = value;
    const index = Number(String(inference.element.id).slice(4));
    expect(timestamp).toBe(index * 1_000);
    expect(window).toBe(Math.floor(index / 60) * 60_000);
    if (index === 13) {
      expect(inference).toMatchObject({ problems: [{ field: 'amount', problem: 'is required' }] });
    } else {
      expect(inference).toMatchObject({ modelVersion: 4 });
      const { outputs } = inference as unknown as { outputs: { fraud: number } };
      expect(outputs.fraud).toBeCloseTo(scoreOf(inference.element as InputRow), 5);
    }
  }
  expect(Math.max(...sizes)).toBeGreaterThan(50);
});
