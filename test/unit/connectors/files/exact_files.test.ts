import { isUtf8 } from 'node:buffer';
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import avro from 'avsc';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { rowsOf } from '#connectors/files/columns';
import { encodeRows } from '#connectors/files/encode_rows';
import { FilePieces } from '#connectors/files/file_pieces';
import type { ReadRow } from '#connectors/files/formats';
import { isExactNumber } from '#kernel/exact/exact_json';

// Whatever a file holds: each row comes back exactly as it was written, or it is refused and the reason names the field. No row harms the others.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'exact-files-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A row as it is written: bytes that should be text, and an integer. */
interface Written {
  readonly id: string;
  readonly text: Buffer;
  readonly whole: bigint;
}

const bytesArbitrary: fc.Arbitrary<Buffer> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => Buffer.from(text, 'utf8')),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
  // Latin-1, half a character, half of a surrogate pair as CESU-8 writes it, an overlong NUL, a byte order mark, NUL.
  fc.constantFrom('fc', 'c3', 'eda080', 'c080', 'efbbbf41', '00', '610062').map((hex) => Buffer.from(hex, 'hex')),
);
const wholeArbitrary = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: 2n ** 53n - 5n, max: 2n ** 53n + 5n }),
  fc.maxSafeInteger().map(BigInt),
);
const writtenArbitrary: fc.Arbitrary<readonly Written[]> = fc
  .array(fc.record({ text: bytesArbitrary, whole: wholeArbitrary }), { minLength: 1, maxLength: 12 })
  .map((rows) => rows.map((row, index) => ({ id: `r${index}`, ...row })));

const isText = (bytes: Buffer): boolean => isUtf8(bytes) && !bytes.includes(0);

/** A JSON string of any bytes; what JSON must escape is escaped. */
const jsonString = (bytes: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('"'),
    ...Array.from(bytes, (byte) =>
      byte < 0x20 || byte === 0x22 || byte === 0x5c
        ? Buffer.from(`\\u${byte.toString(16).padStart(4, '0')}`)
        : Buffer.from([byte]),
    ),
    Buffer.from('"'),
  ]);

const jsonLines = (rows: readonly Written[]): Buffer =>
  Buffer.concat(
    rows.flatMap(({ id, text, whole }) => [
      Buffer.from(`{"id":"${id}","text":`),
      jsonString(text),
      Buffer.from(`,"whole":${whole}}\n`),
    ]),
  );

const csv = (rows: readonly Written[]): Buffer =>
  Buffer.concat([
    Buffer.from('id,text,whole\n'),
    ...rows.flatMap(({ id, text, whole }) => [
      Buffer.from(`${id},"`),
      Buffer.from(text.toString('latin1').replaceAll('"', '""'), 'latin1'),
      Buffer.from(`",${whole}\n`),
    ]),
  ]);

const parquet = (rows: readonly Written[]): Buffer =>
  Buffer.from(
    parquetWriteBuffer({
      columnData: [
        { name: 'id', data: rows.map(({ id }) => id), type: 'STRING' },
        { name: 'text', data: rows.map(({ text }) => new Uint8Array(text)), type: 'BYTE_ARRAY' },
        { name: 'whole', data: rows.map(({ whole }) => whole), type: 'INT64' },
      ],
    }),
  );

interface WriteTap {
  writeBytes(bytes: Buffer): void;
  writeFixed(bytes: Buffer, length: number): void;
}
/** A writer that is not as careful as avsc. */
class AnyBytes extends avro.types.StringType {
  _check(): boolean {
    return true;
  }
  _write(tap: WriteTap, bytes: Buffer): void {
    tap.writeBytes(bytes);
  }
}
class AnyLong extends avro.types.LongType {
  _check(): boolean {
    return true;
  }
  _write(tap: WriteTap, value: bigint): void {
    const bytes: number[] = [];
    let left = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
    bytes.push(Number(left));
    tap.writeFixed(Buffer.from(bytes), bytes.length);
  }
}
async function avroFile(path: string, rows: readonly Written[]): Promise<void> {
  const type = avro.Type.forSchema(
    {
      type: 'record',
      name: 'Row',
      fields: [
        { name: 'id', type: { type: 'string', 'avro.java.string': 'String' } as never },
        { name: 'text', type: ['null', 'string'] },
        { name: 'whole', type: ['null', 'long'] },
      ],
    },
    {
      wrapUnions: true,
      typeHook: (schema) => {
        const name = typeof schema === 'object' ? (schema as { type?: unknown }).type : schema;
        return name === 'string' ? new AnyBytes() : name === 'long' ? new AnyLong() : undefined;
      },
    },
  );
  const encoder = new avro.streams.BlockEncoder(type);
  const file = encoder.pipe(createWriteStream(path));
  for (const { id, text, whole } of rows)
    encoder.write({ id: Buffer.from(id), text: { string: text }, whole: { long: whole } });
  encoder.end();
  await finished(file);
}

async function write(format: string, path: string, rows: readonly Written[]): Promise<void> {
  if (format === 'avro') return avroFile(path, rows);
  const bytes = format.startsWith('csv') ? csv(rows) : format === 'parquet' ? parquet(rows) : jsonLines(rows);
  writeFileSync(path, format.endsWith('.gz') ? gzipSync(bytes) : bytes);
}

async function readAll(path: string): Promise<readonly ReadRow[]> {
  const pieces = new FilePieces();
  const rows: ReadRow[] = [];
  try {
    for (let at: number | undefined = 0; at !== undefined; ) {
      const piece: Awaited<ReturnType<FilePieces['read']>> = await pieces.read(path, at);
      rows.push(...piece.rows);
      at = piece.next;
    }
  } finally {
    await pieces.close();
  }
  return rows;
}

async function readByColumn(path: string) {
  const pieces = new FilePieces();
  try {
    return await pieces.readColumns(path, 0, Number.MAX_SAFE_INTEGER);
  } finally {
    await pieces.close();
  }
}

const FORMATS = ['jsonl', 'jsonl.gz', 'csv', 'csv.gz', 'parquet', 'avro'] as const;

test.each(FORMATS)(
  '%s: each row is exactly as it was written, or refused by its field',
  async (format) => {
    let files = 0;
    await fc.assert(
      fc.asyncProperty(writtenArbitrary, async (rows) => {
        files += 1;
        const path = join(folder, `${files}.${format}`);
        await write(format, path, rows);
        const isJson = format.startsWith('jsonl');
        const isGood = ({ text, whole }: Written): boolean => isText(text) && (!isJson || isExactNumber(String(whole)));
        const read = await readAll(path);
        expect(read).toHaveLength(rows.length);
        for (const [index, row] of read.entries()) {
          const written = rows[index] as Written;
          expect(row.ok).toBe(isGood(written));
          if (row.ok) {
            expect(row.row.text).toBe(written.text.toString('utf8'));
            expect(String(row.row.whole)).toBe(isJson ? String(Number(written.whole)) : String(written.whole));
          } else if (isUtf8(written.text) || !isJson) {
            expect(row.reason).toMatch(isText(written.text) ? /^whole: / : /^text: holds /);
          } else {
            // A line that is not UTF-8 has no fields yet; its bytes are kept.
            expect(row.reason).toMatch(/not UTF-8/);
            expect(Buffer.from(`${row.text}\n`, 'base64')).toEqual(jsonLines([written]).subarray(0, -1));
          }
        }
        const { columns, refused } = await readByColumn(path);
        const kept = rows.filter(isGood);
        expect(rowsOf(columns).map(({ id }) => id)).toEqual(kept.map(({ id }) => id));
        expect(rowsOf(columns).map(({ text }) => text)).toEqual(kept.map(({ text }) => text.toString('utf8')));
        expect(refused).toHaveLength(rows.length - kept.length);
      }),
      { numRuns: 60 },
    );
  },
  60_000,
);

test('repeated columns are refused with the file; rows with other numbers of cells, repeated keys and __proto__ alone', async () => {
  const twice = join(folder, 'twice.csv');
  writeFileSync(twice, 'id,amount,amount\na,1,2\n');
  await expect(readAll(twice)).rejects.toThrow(`${twice} cannot be read: two columns are called "amount"`);
  const header = join(folder, 'header.csv');
  writeFileSync(header, Buffer.from('69642c616d6f756e74fc0a612c310a', 'hex'));
  await expect(readAll(header)).rejects.toThrow('the name of column [1] holds bytes that are not UTF-8');
  const ragged = join(folder, 'ragged.csv');
  writeFileSync(ragged, '\ufeffid,amount\na,1\nb\nc,1,2\nd,4\n');
  expect(await readAll(ragged)).toEqual([
    { ok: true, row: { id: 'a', amount: '1' } },
    { ok: false, reason: 'it has 1 cells, and the header names 2 columns', text: 'b' },
    { ok: false, reason: 'it has 3 cells, and the header names 2 columns', text: 'c,1,2' },
    { ok: true, row: { id: 'd', amount: '4' } },
  ]);
  const lines = join(folder, 'lines.jsonl');
  writeFileSync(
    lines,
    '\ufeff{"id":"a"}\n{"id":"b","n":1,"n":2}\n{"id":"c","x":{"__proto__":1}}\r\n\n{"id":"d","n":1e999}\n{"id":"e"}',
  );
  expect((await readAll(lines)).map((row) => (row.ok ? row.row.id : row.reason.split(':')[0]))).toEqual([
    ...['a', 'n', 'x.__proto__', 'n', 'e'],
  ]);
});

test('decimals of Parquet come back as they were written, or their row is refused', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.bigInt({ min: -(10n ** 17n), max: 10n ** 17n }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 0, max: 6 }),
      async (unscaled, scale) => {
        const path = join(folder, 'decimals.parquet');
        const schema = [
          { name: 'root', num_children: 1 },
          {
            name: 'price',
            type: 'INT64',
            converted_type: 'DECIMAL',
            scale,
            precision: 18,
            repetition_type: 'REQUIRED',
          },
        ] as const;
        writeFileSync(
          path,
          Buffer.from(
            parquetWriteBuffer({
              columnData: [{ name: 'price', data: unscaled.map((value) => Number(value) / 10 ** scale) }],
              schema: schema as never,
            }),
          ),
        );
        for (const [index, row] of (await readAll(path)).entries()) {
          const value = Number(unscaled[index]) / 10 ** scale;
          if (row.ok) expect(row.row.price).toBe(Number(value.toFixed(scale)));
          else {
            expect(Math.abs(value)).toBeGreaterThanOrEqual(10 ** (15 - scale));
            expect(row.reason).toMatch(/^price: holds a decimal of more than 15 digits/);
          }
        }
      },
    ),
    { numRuns: 40 },
  );
});

test('integers beyond 2^53 are written as strings where JSON has no other exact form', () => {
  const row = { a: 9_007_199_254_740_993n, b: 5n, c: [2n ** 60n] };
  expect(encodeRows('jsonl', [row]).toString()).toBe('{"a":"9007199254740993","b":5,"c":["1152921504606846976"]}\n');
});
