import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ObjectStore, objectStoreOf, type VersionMetadata } from '#cli/object_store/object_store';
import { changesBetween, crawl, type SchemaCatalog } from '#cli/object_store/schema_catalog';
import { encodeRows } from '#connectors/files/encode_rows';
import { FilePieces } from '#connectors/files/file_pieces';
import { LocalFiles } from '#connectors/files/local_files';
import { DAY_MS, processingTime } from '#kernel/time';
import { LocalRegistry } from '#registry/local/local_registry';
import { sha256 } from '#registry/packages/package_files';
import { tinyModel } from '../../../support/platforms/tiny_model.ts';

let folder: string;
let root: string;
let nowMs: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'object-store-'));
  root = join(folder, 'store');
  nowMs = Date.parse('2026-11-29T10:00:00Z');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const store = () => new ObjectStore(root, 30 * DAY_MS, { now: () => processingTime(nowMs) });
const listed = (below: string): readonly string[] =>
  readdirSync(join(root, below), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
const put = (path: string, content: string | Uint8Array): void => {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
};

test('logs of 31 days ago are removed, those of 29 days stay', async () => {
  const ago = (days: number) => new Date(nowMs - days * DAY_MS).toISOString().slice(0, 10);
  for (const kind of ['training', 'prediction']) {
    for (const days of [31, 30, 29]) put(`logs/kind=${kind}/date=${ago(days)}/a.log`, 'a line\n');
  }
  await store().log('crawl', 'catalog', ['one line']);
  expect(listed('logs')).toEqual([
    `logs/kind=crawl/date=2026-11-29/catalog-10-00-00.000Z.log`,
    ...['prediction', 'training'].flatMap((kind) =>
      [30, 29].map((days) => `logs/kind=${kind}/date=${ago(days)}/a.log`),
    ),
  ]);
  nowMs += 2 * DAY_MS;
  expect(await store().pruneLogs()).toBe(4);
});

test('a training leaves its set, its model, how it was judged, and its lines', async () => {
  const [trainingSet, out] = [join(folder, 'set'), join(folder, 'out')];
  for (const [path, content] of Object.entries({
    ...{ [join(trainingSet, 'data.csv')]: 'a,label\n1,0\n', [join(trainingSet, 'manifest.json')]: '{}' },
    ...{ [join(out, 'model.onnx')]: 'onnx', [join(out, 'headwater.json')]: '{}', [join(out, 'card.json')]: '{}' },
    [join(out, 'report.html')]: '<p>report',
  })) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  await store().keepTraining('churn', { trainingSet, out, lines: ['judged on 10 rows'] });
  const run = 'run=2026-11-29T10-00-00.000Z';
  const [set] = readdirSync(join(root, 'processed/model=churn'));
  expect(listed('.')).toEqual([
    'logs/kind=training/date=2026-11-29/churn-10-00-00.000Z.log',
    ...['data.csv', 'manifest.json'].map((name) => `processed/model=churn/${set}/${name}`),
    ...['card.json', 'headwater.json', 'model.onnx'].map((name) => `training/model=churn/${run}/${name}`),
    ...['card.json', 'report.html'].map((name) => `validation/model=churn/${run}/${name}`),
  ]);
  expect(readFileSync(join(root, 'logs/kind=training/date=2026-11-29/churn-10-00-00.000Z.log'), 'utf8')).toMatch(
    /^judged on 10 rows\n.*processed\/model=churn/,
  );
});

test('whatever is promoted and rolled back, production has the version that answers, the archive the others, metadata their checksums', async () => {
  const step = fc.record({
    version: fc.integer({ min: 1, max: 3 }),
    stage: fc.constantFrom('Production', 'Archived', 'Staging'),
  });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      run += 1;
      root = join(folder, `store-${run}`);
      const registry = new LocalRegistry({ kind: 'local', directory: join(folder, `registry-${run}`) });
      for (const bias of [0, 1, 2])
        await registry.register({ name: 'tiny', package: tinyModel(bias), metrics: { auc: bias }, params: {} });
      for (const { version, stage } of steps) {
        await registry.transition('tiny', version, stage as 'Production');
        await store().syncVersions(registry, 'tiny');
      }
      expect(await store().syncVersions(registry, 'tiny')).toEqual([]);
      for (const { version, stage } of await registry.listVersions('tiny')) {
        const metadata = JSON.parse(
          readFileSync(join(root, `metadata/model=tiny/version=${version}.json`), 'utf8'),
        ) as VersionMetadata;
        const place = { Production: 'production', Archived: 'archive' }[stage as 'Production'];
        expect([metadata.stage, metadata.path]).toEqual([
          stage,
          place === undefined ? null : join(root, `${place}/model=tiny/version=${version}`),
        ]);
        for (const other of ['production', 'archive']) {
          const path = join(root, `${other}/model=tiny/version=${version}/model.onnx`);
          const found = (() => {
            try {
              return sha256(readFileSync(path));
            } catch {
              return undefined;
            }
          })();
          expect(found).toBe(other === place ? metadata.files['model.onnx']?.sha256 : undefined);
        }
      }
      await registry.close();
    }),
    { numRuns: 12 },
  );
}, 60_000);

const crawled = (before?: SchemaCatalog): Promise<SchemaCatalog> => {
  const files = new LocalFiles();
  return files
    .glob(join(root, '**/*'))
    .then((paths) => crawl({ files, pieces: new FilePieces(), nowMs }, root, paths, before));
};
const jsonLines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const seen = (before: SchemaCatalog | undefined, after: SchemaCatalog) =>
  changesBetween(before, after).map(({ table, change, isDrift }) => `${isDrift ? 'drift ' : ''}${table}: ${change}`);

test('tables, columns and partitions are inferred, and what has changed since is named', async () => {
  put(
    'raw/transaction/date=2026-11-28/a.jsonl',
    jsonLines([
      { id: 'a', amount: 1, at: '2026-11-28T10:00:00Z' },
      { id: 'b', amount: 2.5 },
    ]),
  );
  put(
    'raw/transaction/date=2026-11-29/b.parquet',
    encodeRows('parquet', [{ id: 'c', amount: 3.5, at: '2026-11-29T10:00:00Z' }]),
  );
  put('predictions/model=churn/date=2026-11-29/run=1/p.csv', 'entity_key,probability\nu1,0.5\n');
  put('predictions/model=churn/date=2026-11-29/run=1/refused/p.jsonl', jsonLines([{ reason: 'no' }]));
  const first = await crawled();
  expect(
    first.tables.map(({ name, formats, columns, partitions }) => ({ name, formats, columns, partitions })),
  ).toMatchObject([
    {
      ...{ name: 'predictions/model=churn', formats: ['csv'], partitions: { date: ['2026-11-29'], run: ['1'] } },
      columns: [{ name: 'entity_key', type: 'string' }, { name: 'probability' }],
    },
    {
      ...{ name: 'raw/transaction', formats: ['jsonl', 'parquet'], partitions: { date: ['2026-11-28', '2026-11-29'] } },
      columns: [
        { name: 'id', type: 'string', optional: false },
        { name: 'amount', type: 'double', optional: false },
        { name: 'at', type: 'timestamp', optional: true },
      ],
    },
  ]);
  expect(seen(undefined, first)).toEqual(['predictions/model=churn: new table', 'raw/transaction: new table']);
  expect(seen(first, await crawled(first))).toEqual([]);

  put(
    'raw/transaction/date=2026-11-30/c.jsonl',
    jsonLines([{ id: 'd', amount: 'twelve', at: '2026-11-30T10:00:00Z', country: 'DE' }]),
  );
  const second = await crawled(first);
  expect(seen(first, second)).toEqual([
    'drift raw/transaction: column amount was double, is double or string (raw/transaction/date=2026-11-30/c.jsonl)',
    'raw/transaction: new column country: string',
    'raw/transaction: new date: 2026-11-30',
    'raw/transaction: 1 files more, 0 gone',
  ]);
  rmSync(join(root, 'predictions'), { recursive: true });
  put('raw/transaction/date=2026-11-30/c.jsonl', jsonLines([{ id: 'd', amount: 12, country: 'DE' }]));
  expect(seen(second, await crawled(second))).toEqual([
    'drift raw/transaction: column amount was double or string, is double (raw/transaction/date=2026-11-30/c.jsonl)',
    'drift predictions/model=churn: table is gone',
  ]);
});

test('odd names of partitions, files without rows and many long files are read as others are', async () => {
  put('raw/t/constructor=1/a.csv', 'x\n1\n');
  put('raw/t/constructor=2/empty.csv', 'x\n');
  const rows = Array.from({ length: 1_000 }, (_, x) => String(x)).join('\n');
  for (let number = 0; number < 20; number += 1) put(`raw/t/constructor=3/${number}.csv`, `x\n${rows}\n`);
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  const pieces = new FilePieces();
  const paths = listed('raw').map((path) => join(root, path));
  const catalog = await crawl({ files: new LocalFiles(), pieces, nowMs }, root, paths, undefined);
  expect(descriptors() - before).toBeLessThan(5);
  await pieces.close();
  expect(catalog.tables).toHaveLength(1);
  expect(catalog.tables[0]).toMatchObject({ name: 'raw/t', columns: [{ name: 'x', optional: false }] });
  expect(Object.entries(catalog.tables[0]?.partitions ?? {})).toEqual([['constructor', ['1', '2', '3']]]);
});

test('a root is one place however it is written', () => {
  const roots = [root, `${root}/`, relative(process.cwd(), root), join(root, '..', '.', 'store')].map(
    (directory) => objectStoreOf({ objectStore: { directory, keepLogs: '30d' } } as never)?.root,
  );
  expect(new Set(roots)).toEqual(new Set([root]));
});

test('a file that cannot be read is named once, and the others are in the catalogue', async () => {
  put('raw/t/a.csv', 'x\n1\n');
  put('raw/t/b.parquet', '');
  put('raw/t/c.jsonl.gz', 'no gzip');
  put('raw/u/a.csv', 'y\n1\n');
  const first = await crawled();
  expect(first.tables.map(({ name, columns }) => [name, columns.map((each) => [each.name, each.optional])])).toEqual([
    ['raw/t', [['x', false]]],
    ['raw/u', [['y', false]]],
  ]);
  const problems = seen(undefined, first).filter((each) => each.startsWith('drift'));
  expect(problems).toEqual([
    expect.stringMatching(/b\.parquet cannot be read: /),
    expect.stringMatching(/c\.jsonl\.gz cannot be read: /),
  ]);
  expect(seen(first, await crawled(first))).toEqual([]);
});

test('a version whose files the registry lacks is named, and the others are kept', async () => {
  const registry = new LocalRegistry({ kind: 'local', directory: join(folder, 'registry') });
  for (const bias of [0, 1])
    await registry.register({ name: 'tiny', package: tinyModel(bias), metrics: {}, params: {} });
  await registry.transition('tiny', 2, 'Production');
  const download = registry.download.bind(registry);
  const partial = new Proxy(registry, {
    get: (of, name) =>
      name === 'download'
        ? (version: { readonly version: number }) =>
            version.version === 1 ? Promise.reject(new Error('no artifact')) : download(version as never)
        : (Reflect.get(of, name) as () => unknown).bind(of),
  });
  await expect(store().syncVersions(partial, 'tiny')).rejects.toThrow('tiny 1: no artifact');
  expect(listed('production')).toEqual(expect.arrayContaining(['production/model=tiny/version=2/model.onnx']));
  await registry.close();
});
