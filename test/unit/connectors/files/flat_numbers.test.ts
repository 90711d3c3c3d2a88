import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parquetReadObjects } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { LocalFiles } from '#connectors/files/local_files';
import { COMPRESSORS } from '#connectors/files/parquet/compressors';
import { ParquetFile } from '#connectors/files/parquet/parquet_file';

// Columns of numbers are what hyparquet reads, value by value, in files of two writers: pages of version 1 and 2, several of them, dictionaries, levels, missing values.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numbers-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function differences(path: string, bytes: ArrayBuffer): Promise<{ wrong: unknown[]; typed: string[] }> {
  const file = await ParquetFile.open(await new LocalFiles().open(path));
  const wrong: unknown[] = [];
  const typed = new Set<string>();
  let from = 0;
  for (let group = 0; group < file.rowGroups; group += 1) {
    const { rows, values } = await file.readColumns(group);
    const range = { rowStart: from, rowEnd: from + rows };
    const expected = await parquetReadObjects({ file: bytes, compressors: COMPRESSORS, ...range });
    expect([...values.keys()]).toEqual(Object.keys(expected[0] as object));
    for (const [name, column] of values) {
      if (ArrayBuffer.isView(column)) typed.add(name);
      for (let row = 0; row < rows; row += 1) {
        if (!Object.is(column[row], expected[row]?.[name])) wrong.push([name, from + row, column[row], expected[row]]);
      }
    }
    from += rows;
  }
  await file.close();
  return { wrong, typed: [...typed] };
}

const number = fc.oneof(fc.double(), fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, 1));

test('files of hyparquet-writer: any numbers, with and without missing ones, in row groups of any size', async () => {
  let typedFiles = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(number, fc.option(number, { freq: 6 }), fc.constantFrom(1.5, 2.5)), {
        minLength: 1,
        maxLength: 200,
      }),
      fc.integer({ min: 1, max: 80 }),
      fc.constantFrom<'SNAPPY' | 'UNCOMPRESSED'>('SNAPPY', 'UNCOMPRESSED'),
      fc.integer({ min: 64, max: 2_000 }),
      async (rows, rowGroupSize, codec, pageSize) => {
        const bytes = parquetWriteBuffer({
          ...{ rowGroupSize, codec, pageSize },
          columnData: [
            { name: 'text', type: 'STRING', data: rows.map((_, at) => `row ${at}`) },
            { name: 'all', type: 'DOUBLE', data: rows.map(([value]) => value) },
            { name: 'maybe', type: 'DOUBLE', data: rows.map(([, value]) => value) },
            { name: 'few', type: 'FLOAT', data: rows.map(([, , value]) => value) },
            { name: 'needed', type: 'DOUBLE', nullable: false, data: Float64Array.from(rows, ([value]) => value) },
          ],
        });
        const path = join(folder, 'ours.parquet');
        writeFileSync(path, Buffer.from(bytes));
        const { wrong, typed } = await differences(path, bytes);
        expect(wrong).toEqual([]);
        expect(typed).toEqual(expect.arrayContaining(['all', 'needed']));
        typedFiles += 1;
      },
    ),
    { numRuns: 60 },
  );
  expect(typedFiles).toBe(60);
});

test.each(['uncompressed', 'snappy', 'zstd', 'gzip'])('files of DuckDB, compressed by %s', async (codec) => {
  const path = join(folder, `${codec}.parquet`);
  const connection = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect();
  await connection.run(
    `COPY (SELECT range AS n, random() AS "all", (range % 7)::DOUBLE AS few, (range % 5)::FLOAT AS small, 3.25::DOUBLE AS same,
       CASE WHEN range % 3 = 0 THEN random() END AS maybe, CASE WHEN range % 9 = 0 THEN 'NaN'::DOUBLE ELSE -0.0::DOUBLE END AS odd,
       CASE WHEN range < 3000 THEN random() END AS ends, 1.25::DECIMAL(9, 2) AS price FROM range(5000))
     TO '${path}' (FORMAT parquet, COMPRESSION ${codec}, ROW_GROUP_SIZE 2048)`,
  );
  connection.closeSync();
  const file = readFileSync(path);
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length) as ArrayBuffer;
  const { wrong, typed } = await differences(path, bytes);
  expect(wrong).toEqual([]);
  expect(typed).toEqual(expect.arrayContaining(['all', 'few', 'small', 'same', 'odd']));
});
