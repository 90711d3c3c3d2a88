import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { encodeRows } from '#connectors/files/encode_rows';
import { createFileSystems } from '#connectors/files/file_systems';
import { importRows } from '#feature_store/offline/row_files';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { loadLabels } from '#feature_store/retrieval/labels';
import { eventTime, systemClock } from '#kernel/time';
import { tinyView } from '../../support/platforms/tiny_model.ts';
import { tinyOnline } from '../../support/platforms/tiny_serving.ts';

// Files that a user brings: text that no store takes is refused with file, row and field, before any store sees a row.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'label-files-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Fails for every call: no row may reach it. */
const untouched = new Proxy({} as OfflineDatabase, {
  get: (_, name) => () => {
    throw new Error(`the store was called: ${String(name)}`);
  },
});
const service = new FeatureReader({ online: tinyOnline, clock: systemClock }, { views: [tinyView], services: [] }).get(
  'tiny@1',
);
const load = (file: string) =>
  loadLabels({ offline: untouched, fileSystemOf: createFileSystems() }, { file }, service, {
    from: eventTime(0),
    to: eventTime(Date.UTC(2030, 0, 1)),
  });
const good = (at: number) => ({
  ...{ label_id: `l${at}`, entity_key: `a${at}`, event_time: '2026-11-21T08:00:00Z', label: at % 2, note: 'n' },
});

test.each(['jsonl', 'csv', 'parquet'] as const)(
  'labels as %s: the first row that no store takes is named',
  async (format) => {
    const bad = format === 'jsonl' ? ['\u0000', '\ud800', '\udc00x'] : ['\u0000'];
    let files = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(11),
        fc.constantFrom('label_id', 'entity_key', 'note'),
        fc.constantFrom(...bad),
        fc.string({ unit: 'grapheme-ascii', maxLength: 4 }).map((text) => text.replace(/[",\r\n]/g, '')),
        async (at, field, character, around) => {
          const rows = Array.from({ length: 12 }, (_, index) => good(index)) as Record<string, unknown>[];
          rows[at] = { ...rows[at], [field]: `x${around}${character}${around}` };
          files += 1;
          const file = join(folder, `${format}-${files}.${format}`);
          writeFileSync(file, encodeRows(format, rows));
          await expect(load(file)).rejects.toThrow(`${file}, row ${at + 1}: ${field}: holds `);
        },
      ),
      { numRuns: 25 },
    );
    const file = join(folder, `good.${format}`);
    writeFileSync(file, encodeRows(format, [good(0), good(1)]));
    expect((await load(file)).map(({ labelId }) => labelId)).toEqual(['l0', 'l1']);
  },
);

test('rows of a feature view that are imported: the file is refused before its rows reach the store', async () => {
  const row = { entity: 'account', entity_key: 'account:a\u0000', event_time: new Date(0), computed_at: new Date(0) };
  mkdirSync(join(folder, 'rows', 'tiny@1'), { recursive: true });
  const file = join(folder, 'rows', 'tiny@1', 'part.parquet');
  writeFileSync(file, encodeRows('parquet', [{ ...row, amount: 1, category: 'a' }]));
  const source = { from: join(folder, 'rows'), fileSystemOf: createFileSystems() };
  await expect(importRows(untouched.features, tinyView, source)).rejects.toThrow(
    `${file}, row group 0, row 0: entity_key: holds a NUL character`,
  );
});

test.each(['jsonl', 'csv', 'parquet'] as const)(
  'labels as %s: a number that no double holds is refused',
  async (format) => {
    const file = join(folder, `numbers.${format}`);
    const wrong = format === 'parquet' ? 9_007_199_254_740_993n : '9007199254740993';
    const rows = [
      { ...good(0), label: format === 'parquet' ? 1n : 1 },
      { ...good(1), label: wrong },
    ];
    const bytes = encodeRows(format, rows);
    writeFileSync(
      file,
      format === 'jsonl' ? bytes.toString().replace('"9007199254740993"', '9007199254740993') : bytes,
    );
    await expect(load(file)).rejects.toThrow(/row 2: label: .*9007199254740993/);
  },
);

test('labels are numbers and booleans, as each format has them; a string that looks like one is refused by name', async () => {
  const at = '2026-11-21T08:00:00';
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const cells = ['1', 'True', 'true', 'TRUE', '0', 'False', 'false', '0.5', '"1"'];
  const csv = cells.map((cell, index) => `l${index},a1,${at},${cell}\n`).join('');
  const read = await load(file('booleans.csv', `label_id,entity_key,event_time,label\n${csv}`));
  expect(read.map(({ label }) => label)).toEqual([1, 1, 1, 1, 0, 0, 0, 0.5, 1]);
  // A time without a zone is UTC.
  expect(read.every(({ eventTime: time }) => time === Date.parse(`${at}Z`))).toBe(true);
  const typed = [true, false, 0.25, 3].map((label, index) => ({ ...good(index), label }));
  const lines = `${typed.map((row) => JSON.stringify(row)).join('\n')}\n`;
  expect((await load(file('typed.jsonl', lines))).map(({ label }) => label)).toEqual([1, 0, 0.25, 3]);
  const flags = [true, false].map((label, index) => ({ ...good(index), label }));
  expect((await load(file('flags.parquet', encodeRows('parquet', flags)))).map(({ label }) => label)).toEqual([1, 0]);
  for (const [format, label, reason] of [
    ['jsonl', '1', /row 1: label must be a number or a boolean, not "1": write it as a number, without quotes/],
    ['parquet', '1', /row 1: label must be a number or a boolean, not "1": write it as a number, without quotes/],
    ['parquet', Number.NaN, /row 1: label must be a number or a boolean, not the number NaN/],
    ['csv', 'yes', /row 1: label must be a number or a boolean, not "yes"/],
    ['csv', '', /row 1: label must be a number or a boolean, not ""/],
  ] as const) {
    const path = file(`bad.${format}`, encodeRows(format, [{ ...good(0), label }]));
    await expect(load(path)).rejects.toThrow(reason);
  }
});
