import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { trainingReferences } from '#cli/roles/monitor_service';
import { isRefusal } from '#connectors/failure_class';
import { createKey, readKeysFile } from '#connectors/http/keys_file';
import { readManifest } from '#feature_store/retrieval/training_set';
import { PlatformError } from '#kernel/errors';
import { LocalRegistry } from '#registry/local/local_registry';
import { readModelFolder, writeModelFolder } from '#registry/model_folder';
import type { ModelRegistry } from '#registry/model_registry';
import { parseJsonFile } from '#storage/json_file';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { temporaryFolder } from '../../support/servers/disk_folder.ts';

// JSON files that users or other programs write: what JSON.parse would alter in silence is refused, with the file and the path.

const folder = temporaryFolder('json-files');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function notUtf8(text: string): Buffer {
  const [before = '', ...after] = text.split('{');
  return Buffer.concat([Buffer.from(`${before}{"x": "f`), Buffer.from([0xfc]), Buffer.from(`r", ${after.join('{')}`)]);
}

/** Puts one thing into a document that JSON.parse takes and alters, or that no store takes. */
const POISONS: Readonly<Record<string, (text: string) => Buffer>> = {
  'a repeated key': (text) => Buffer.from(text.replace('{', '{"twice": 1, "twice": 2, ')),
  __proto__: (text) => Buffer.from(text.replace('{', '{"x": {"__proto__": {}}, ')),
  'bytes that are not UTF-8': (text) => notUtf8(text),
  'a NUL character': (text) => Buffer.from(text.replace('{', '{"x": "a\\u0000b", ')),
  'half of a surrogate pair': (text) => Buffer.from(text.replace('{', '{"x": ["a", "\\ud83d"], ')),
  'an integer beyond 2^53': (text) => Buffer.from(text.replace('{', '{"x": 9007199254740993, ')),
  'a number beyond any double': (text) => Buffer.from(text.replace('{', '{"x": 1e400, ')),
  'endless nesting': (text) => Buffer.from(text.replace('{', `{"x": ${'['.repeat(5_000)}${']'.repeat(5_000)}, `)),
  'the beginning alone': (text) => Buffer.from(text.slice(0, text.length / 2)),
};
const card = { metrics: { auc: 0.91 }, params: { depth: '3' }, tags: {} };
const statistics = {
  amount: { rows: 10, nulls: 0, min: 1, max: 2, mean: 1.5, stddev: 0.1, quantiles: [1, 1.5, 2], top: [], sampled: 10 },
};
const manifest = { format: 'headwater-training-set-2', files: [], columns: [] };

async function modelFolder(name: string): Promise<string> {
  const of = join(folder, name);
  await writeModelFolder(of, tinyModel(1), { card });
  writeFileSync(join(of, 'trials.json'), '[{"params": {"depth": 3}, "score": 0.5}]');
  return of;
}

/** Registers a version with a file as its statistics, and asks for what it was trained on. */
async function referenceWith(bytes: Uint8Array): Promise<unknown> {
  const directory = join(folder, `registry-${Math.random()}`);
  const registry: ModelRegistry = new LocalRegistry({ kind: 'local', directory });
  const attachments = new Map([['statistics.json', bytes]]);
  await registry.register({ name: 'tiny', package: tinyModel(1), metrics: {}, params: {}, attachments });
  return trainingReferences(registry)('tiny', 1);
}

interface Reader {
  readonly text: string;
  readonly read: (bytes: Buffer) => Promise<unknown>;
}

async function fileOfModel(name: string): Promise<Reader> {
  const of = await modelFolder(name);
  const file = join(of, name);
  return {
    text: readFileSync(file, 'utf8'),
    read: async (bytes) => {
      writeFileSync(file, bytes);
      return readModelFolder(of);
    },
  };
}

const READERS: Readonly<Record<string, () => Promise<Reader>>> = {
  'headwater.json': () => fileOfModel('headwater.json'),
  'card.json': () => fileOfModel('card.json'),
  'trials.json': () => fileOfModel('trials.json'),
  'statistics.json': async () => ({ text: JSON.stringify(statistics), read: referenceWith }),
  'manifest.json': async () => ({
    text: JSON.stringify(manifest),
    read: async (bytes) => {
      writeFileSync(join(folder, 'manifest.json'), bytes);
      return readManifest(folder);
    },
  }),
  'keys.json': async () => {
    const file = join(folder, 'keys.json');
    await createKey(file, { name: 'shop', scopes: ['ingest'] }, Date.now());
    return {
      text: readFileSync(file, 'utf8'),
      read: async (bytes) => {
        writeFileSync(file, bytes);
        return readKeysFile(file);
      },
    };
  },
};

test.each(Object.keys(READERS))('%s: as it is written, or refused by name', async (name) => {
  const { text, read } = await (READERS[name] as (typeof READERS)[string])();
  await read(Buffer.from(text));
  await read(Buffer.from(`\ufeff${text}`));
  for (const [kind, poison] of Object.entries(POISONS)) {
    const error = await read(poison(text)).then(
      () => `${name} was read with ${kind}`,
      (each: unknown) => each,
    );
    expect(error).toBeInstanceOf(PlatformError);
    expect((error as Error).message).toContain(name);
  }
});

test('a reference that cannot be used is refused for good: the monitor goes on without it', async () => {
  const bad = [
    ...Object.values(POISONS).map((poison) => poison(JSON.stringify(statistics))),
    ...['null', '[]', '{"amount": null}', '{"amount": {"rows": "many"}}', '{"amount": {"quantiles": 1}}'].map((text) =>
      Buffer.from(text),
    ),
  ];
  for (const bytes of bad) {
    const error = await referenceWith(bytes).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(PlatformError);
    expect(isRefusal(error)).toBe(true);
  }
  expect(await referenceWith(Buffer.from(JSON.stringify(statistics)))).toMatchObject({
    columns: { amount: { rows: 10 } },
  });
});

test('any JSON value comes back as it was written', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      const bytes = Buffer.from(JSON.stringify(value));
      let read: unknown;
      try {
        read = parseJsonFile('a.json', bytes, 'write it again');
      } catch (error) {
        expect((error as Error).message).toMatch(/^a\.json is damaged at byte 0: it holds no JSON that can be used/);
        return;
      }
      expect(JSON.stringify(read)).toBe(JSON.stringify(value));
    }),
    { numRuns: 500 },
  );
});
