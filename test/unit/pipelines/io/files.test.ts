import {
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import avro from 'avsc';
import fc from 'fast-check';
import { encodeRows } from '#connectors/files/encode_rows';
import type { ReadRow, Row } from '#connectors/files/formats';
import { LocalFiles } from '#connectors/files/local_files';
import { ParquetFile } from '#connectors/files/parquet/parquet_file';
import { writeFiles } from '#pipelines/io/file_sink';
import { FileSource, type FileSourceSettings } from '#pipelines/io/file_source';
import { createPipeline } from '#pipelines/model/pipeline';
import { create, parDo, read, withTimestamps } from '#pipelines/model/transforms';
import { type EmbeddedOptions, type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { type Collected, collectInto } from '#pipelines/testing/collect';
import { until as untilSo } from '../../../support/turns.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'files-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

type Settings = Partial<FileSourceSettings<ReadRow>>;

function start(settings: Settings, onRow: (row: ReadRow) => void, options: EmbeddedOptions = {}): PipelineHandle {
  const source = new FileSource<ReadRow>({
    patterns: [join(directory, '**/*')],
    decode: (row) => ({ element: row }),
    ...settings,
  });
  const plan = createPipeline((root) => {
    root
      .apply(read('files', source, 'Files'))
      .apply(parDo<ReadRow, never>({ process: (row) => onRow(row) }, { name: 'Take' }));
  });
  return runEmbedded(plan, options);
}

async function readAll(settings: Settings = {}): Promise<ReadRow[]> {
  const rows: ReadRow[] = [];
  await start(settings, (row) => rows.push(row)).finished;
  return rows;
}

const good = (rows: readonly ReadRow[]): Row[] => rows.flatMap((row) => (row.ok ? [row.row] : []));
const byN = (rows: readonly Row[]): Row[] => [...rows].sort((a, b) => Number(a.n) - Number(b.n));

test('JSON lines are read once each, however a file is cut into parts', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 40 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 200 }),
      fc.boolean(),
      async (texts, partBytes, endsWithNewline) => {
        rmSync(directory, { recursive: true, force: true });
        mkdirSync(directory);
        const rows = texts.map((text, n) => ({ n, text }));
        const body = rows.map((row) => JSON.stringify(row)).join('\n');
        writeFileSync(join(directory, 'rows.jsonl'), endsWithNewline ? `${body}\n` : body);
        expect(byN(good(await readAll({ partBytes })))).toEqual(rows);
      },
    ),
    { numRuns: 60 },
  );
});

const ROWS = Array.from({ length: 2_500 }, (_, n) => ({ n, text: `text "${n}", with a comma`, flag: n % 2 === 0 }));

test('each format comes back as it went, gzipped too', async () => {
  writeFileSync(join(directory, 'a.parquet'), encodeRows('parquet', ROWS));
  expect(byN(good(await readAll()))).toEqual(ROWS);
  rmSync(join(directory, 'a.parquet'));
  for (const name of ['a.jsonl.gz', 'a.csv', 'a.csv.gz'] as const) {
    const bytes = encodeRows(name.startsWith('a.csv') ? 'csv' : 'jsonl', ROWS);
    writeFileSync(join(directory, name), name.endsWith('.gz') ? gzipSync(bytes) : bytes);
    const rows = good(await readAll());
    const expected = name.startsWith('a.csv')
      ? ROWS.map((row) => ({ ...row, n: String(row.n), flag: String(row.flag) }))
      : ROWS;
    expect(byN(rows)).toEqual(expected);
    rmSync(join(directory, name));
  }
});

test('Avro container files', async () => {
  const type = avro.Type.forSchema({
    type: 'record',
    name: 'Event',
    fields: [
      { name: 'n', type: 'int' },
      { name: 'text', type: 'string' },
    ],
  });
  const path = join(directory, 'a.avro');
  const encoder = new avro.streams.BlockEncoder(type);
  const file = encoder.pipe(createWriteStream(path));
  for (const { n, text } of ROWS) encoder.write({ n, text });
  encoder.end();
  await finished(file);
  expect(byN(good(await readAll())).map(({ n, text }) => ({ n, text }))).toEqual(
    ROWS.map(({ n, text }) => ({ n, text })),
  );
});

test('a broken line is told from the others, with its text; a file of another kind is named', async () => {
  writeFileSync(join(directory, 'a.jsonl'), '{"n":1}\n{oops\n[1]\n{"n":2}\n');
  const rows = await readAll();
  expect(good(rows)).toEqual([{ n: 1 }, { n: 2 }]);
  expect(rows.filter((row) => !row.ok)).toEqual([
    { ok: false, reason: expect.stringContaining('not JSON'), text: '{oops' },
    { ok: false, reason: 'not a JSON object', text: '[1]' },
  ]);
  writeFileSync(join(directory, 'b.parquet'), 'not parquet at all');
  await expect(readAll()).rejects.toThrow(/b\.parquet cannot be read/);
  rmSync(join(directory, 'b.parquet'));
  writeFileSync(join(directory, 'c.csv.gz'), 'not gzip');
  await expect(readAll()).rejects.toThrow(/c\.csv\.gz cannot be read/);
  rmSync(join(directory, 'c.csv.gz'));
  writeFileSync(join(directory, 'd.xlsx'), '');
  await expect(readAll()).rejects.toThrow(/d\.xlsx cannot be read: its name should end in \.jsonl/);
});

test.each(['a.jsonl', 'a.csv', 'a.parquet'])(
  '%s: a job that fails anywhere goes on after its snapshot, and takes each row once',
  async (name) => {
    const format = name.slice(2) as 'jsonl' | 'csv' | 'parquet';
    writeFileSync(join(directory, name), encodeRows(format, ROWS));
    const snapshots = { directory: mkdtempSync(join(tmpdir(), 'files-snapshots-')), intervalMs: 0 };
    // What is durable when it fails is what the newest snapshot holds: rows are marked, as an upserting sink would.
    const seen = new Set<number>();
    let left = 1_700;
    const failing = start(
      { partBytes: 10_000 },
      (row) => {
        left -= 1;
        if (left === 0) throw new Error('crash');
        if (row.ok) seen.add(Number(row.row.n));
      },
      { snapshots, maxRetries: 0 },
    );
    await expect(failing.finished).rejects.toThrow('crash');
    await start({ partBytes: 10_000 }, (row) => void (row.ok && seen.add(Number(row.row.n))), { snapshots }).finished;
    expect(seen.size).toBe(ROWS.length);
    rmSync(snapshots.directory, { recursive: true, force: true });
  },
);

test('new files are found while it watches', async () => {
  const rows: ReadRow[] = [];
  writeFileSync(join(directory, 'a.jsonl'), '{"n":1}\n');
  const handle = start({ patterns: [join(directory, '*.jsonl')], watchEveryMs: 20 }, (row) => rows.push(row));
  const until = async (count: number): Promise<void> => {
    await untilSo(() => rows.length >= count);
    expect(rows).toHaveLength(count);
  };
  await until(1);
  writeFileSync(join(directory, 'b.tmp'), '{"n":2}\n{"n":3}\n');
  renameSync(join(directory, 'b.tmp'), join(directory, 'b.jsonl'));
  await until(3);
  await handle.cancel();
});

test.each(['jsonl', 'csv', 'parquet'] as const)(
  '%s: rows land in files by day, window and shard; writing again changes nothing',
  async (format) => {
    const start = Date.parse('2026-11-20T23:00:00Z');
    const rows = Array.from({ length: 200 }, (_, n) => ({ n, at: start + n * 60_000, text: `t${n}` }));
    const paths: Collected<string>[] = [];
    const run = () =>
      runEmbedded(
        createPipeline((root) => {
          const written = root
            .apply(create(rows))
            .apply(withTimestamps(({ at }) => at))
            .apply(writeFiles({ directory, format, windowSeconds: 3_600, shards: 2 }, ({ n }) => Number(n)) as never);
          collectInto(written as never, paths);
        }),
      ).finished;
    await run();
    const list = (): string[] =>
      (readdirSync(directory, { recursive: true }) as string[]).filter((name) => name.includes('.')).sort();
    const before = list();
    expect(before).toHaveLength(8);
    expect(before[0]).toBe(`year=2026/month=11/day=20/part-20261120T230000Z-0-of-2-0.${format}`);
    const bytes = before.map((name) => readFileSync(join(directory, name)).toString('hex'));
    await run();
    expect(list()).toEqual(before);
    expect(before.map((name) => readFileSync(join(directory, name)).toString('hex'))).toEqual(bytes);
    const back = byN(good(await readAll())).map(({ n, text }) => ({ n: Number(n), text }));
    expect(back).toEqual(rows.map(({ n, text }) => ({ n, text })));
  },
);

test('Parquet row groups are parts of their own', async () => {
  const many = Array.from({ length: 120_000 }, (_, n) => ({ n }));
  const path = join(directory, 'a.parquet');
  writeFileSync(path, encodeRows('parquet', many));
  const file = await ParquetFile.open(await new LocalFiles().open(path));
  expect(file.rowGroups).toBe(3);
  expect((await file.readRowGroup(2))[0]).toEqual({ n: 100_000 });
  await file.close();
});
