import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { encodeRows } from '#connectors/files/encode_rows';
import { LocalFiles } from '#connectors/files/local_files';
import { ParquetFile } from '#connectors/files/parquet/parquet_file';
import { serviceAddress } from '../service_address.ts';

// Apache Arrow, from Python, reads what is written here, and the other way round.

const python = (script: string): Promise<{ stdout: string }> =>
  promisify(execFile)(serviceAddress('TEST_MLFLOW_PYTHON'), ['-c', script]);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'parquet-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const ROWS = Array.from({ length: 10_000 }, (_, n) => ({
  n,
  name: n % 7 === 0 ? null : `name ${n} é€`,
  flag: n % 2 === 0,
  at: new Date(1_700_000_000_000 + n * 1_000),
}));

test('10,000 rows written here have the same count, schema and values for Arrow', async () => {
  const path = join(directory, 'ours.parquet');
  writeFileSync(path, encodeRows('parquet', ROWS));
  const { stdout } = await python(
    `import json, pyarrow.parquet as pq
t = pq.read_table(${JSON.stringify(path)})
print(json.dumps({"rows": t.num_rows, "schema": {f.name: str(f.type) for f in t.schema}, "sum": sum(t["n"].to_pylist()), "nulls": t["name"].null_count, "last": t["name"].to_pylist()[9998], "at": str(t["at"].to_pylist()[1])}))`,
  );
  const seen = JSON.parse(stdout) as { readonly schema: Readonly<Record<string, string>>; readonly at: string };
  expect(seen).toMatchObject({
    rows: ROWS.length,
    sum: (ROWS.length * (ROWS.length - 1)) / 2,
    nulls: Math.ceil(ROWS.length / 7),
    last: 'name 9998 é€',
  });
  expect(seen.schema).toMatchObject({
    n: 'double',
    name: 'string',
    flag: 'bool',
    at: expect.stringMatching(/^timestamp\[ms/),
  });
  expect(seen.at).toMatch(/^2023-11-14 22:13:21/);
}, 60_000);

test.each(['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4'])(
  'what Arrow writes in several row groups, compressed by %s, is read here as rows and as columns',
  async (codec) => {
    const path = join(directory, `${codec}.parquet`);
    await python(
      `import pyarrow as pa, pyarrow.parquet as pq
t = pa.table({"n": list(range(5000)), "text": [f"t{n}" for n in range(5000)], "maybe": [None if n % 3 else n / 2 for n in range(5000)], "long": ["x" * 70000 if n == 7 else str(n) for n in range(5000)]})
pq.write_table(t, ${JSON.stringify(path)}, compression="${codec}", row_group_size=2000)`,
    );
    const file = await ParquetFile.open(await new LocalFiles().open(path));
    expect(file.rowGroups).toBe(3);
    const rows = [...(await file.readRowGroup(0)), ...(await file.readRowGroup(1)), ...(await file.readRowGroup(2))];
    const columns = await file.readColumns(2);
    await file.close();
    expect(rows).toHaveLength(5_000);
    expect(rows.map(({ n }) => Number(n))).toEqual(Array.from({ length: 5_000 }, (_, n) => n));
    expect(rows[7]?.long).toBe('x'.repeat(70_000));
    expect(rows[4_998]).toEqual({ n: 4_998n, text: 't4998', maybe: 2_499, long: '4998' });
    expect(rows[4_999]).toMatchObject({ text: 't4999' });
    expect(columns.rows).toBe(1_000);
    expect(Array.from(columns.values.get('text') as ArrayLike<unknown>)).toEqual(
      rows.slice(4_000).map(({ text }) => text),
    );
  },
  60_000,
);
