import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from 'headwater/connectors';
import { type CombineFn, type DoFn, mean } from 'headwater/pipelines';
import {
  brokerContract,
  CONTRACT_VIEWS,
  type ContractCase,
  combinerContract,
  doFnContract,
  insightProviderContract,
  LOG_TRAITS,
  OFFLINE_CONTRACT_VIEWS,
  offlineStoreContract,
  onlineStoreContract,
  personalDataContract,
  pluginContract,
  registryContract,
  trainerContract,
} from 'headwater/testing';
import { z } from 'zod';
import { duckdb } from '../extensions/duckdb_store.ts';
import { folder } from '../extensions/folder_store.ts';
import { lines } from '../extensions/lines_broker.ts';
import { logistic } from '../extensions/logistic_trainer.ts';
import { addNotes, notes } from '../extensions/notes.ts';
import { recommend, shopHook, summaries } from '../extensions/routes.ts';
import { shelf } from '../extensions/shelf_registry.ts';
import { wordList, wordProvider } from '../extensions/word_provider.ts';

const log = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const place = (name: string): string => join(mkdtempSync(join(tmpdir(), 'guest-')), name);
const deps = { log, clock: systemClock };
const started = async <T extends { start(signal: AbortSignal): Promise<void> }>(part: T): Promise<T> => {
  await part.start(new AbortController().signal);
  return part;
};
const runAll = (name: string, cases: readonly ContractCase[]): void => {
  describe(name, () => {
    for (const { name: each, timeoutMs, run } of cases) test(each, { timeout: timeoutMs }, run);
  });
};

const directory = place('topics');
runAll(
  'the lines broker',
  brokerContract(async () => started(await lines.create(deps, { directory })), LOG_TRAITS),
);

const file = place('rows.json');
const ttlMs = new Map(CONTRACT_VIEWS.map(({ view, version, ttlMs: ms }) => [`${view}@${version}`, ms]));
runAll(
  'the folder store',
  onlineStoreContract(() => started(folder.create({ ...deps, views: CONTRACT_VIEWS, ttlMs }, { file }))),
);

const database = place('rows.duckdb');
runAll(
  'the DuckDB store',
  offlineStoreContract(() => started(duckdb.create({ log, views: OFFLINE_CONTRACT_VIEWS }, { file: database }))),
);

const models = place('models');
runAll(
  'the shelf registry',
  registryContract(() => shelf.create({ clock: systemClock }, { directory: models })),
);

const noted = place('notes.jsonl');
runAll(
  'the notes',
  personalDataContract(notes(noted), {
    write: (subjects) =>
      addNotes(
        noted,
        subjects.map(({ customer_id: customer }) => ({ customer: customer as string, note: 'rang twice' })),
      ),
  }),
);

const words = createServer((_, response) => void response.end(wordList()));
before(async () => once(words.listen(0, '127.0.0.1'), 'listening'));
after(() => words.close());
runAll(
  'the provider of insights',
  insightProviderContract(() => wordProvider(`http://127.0.0.1:${(words.address() as AddressInfo).port}`), {
    comments: { en: 'The parcel was late and the box broken.' },
    read: (content) => z.strictObject({ score: z.int() }).parse(content),
    // Port 9 discards; no server has it here.
    unreachable: () => wordProvider('http://127.0.0.1:9'),
  }),
);

runAll('the logistic trainer', trainerContract(logistic, { settings: { steps: 50, classes: ['no', 'yes'] } }));

const close = (a: number, b: number): boolean => Object.is(a, b) || Math.abs(a - b) < 1e-9;
runAll(
  'the mean',
  combinerContract(mean() as CombineFn<number, unknown, number>, { input: (number) => number / 7, equal: close }),
);

const scored = { modelName: 'churn', modelVersion: 1, variant: 'production', predictionId: 'p', prediction: 'kept' };
const found = {
  score: async (request: object) =>
    ('entities' in request ? (request.entities as string[]) : []).map(() => scored as never),
  vectors: async (_: unknown, entities: readonly string[]) => entities.map(() => ({ purchases_24h: 1 })),
};
runAll('the recommendations', pluginContract(recommend, { context: () => found }));
runAll(
  'the summaries',
  pluginContract(summaries, { context: () => ({ read: async () => [undefined], nearest: async () => [] }) }),
);
const taken = async () => ({ eventId: 'e', outcome: 'accepted' as const });
runAll(
  'the webhook of the shop',
  pluginContract(shopHook, { context: () => ({ ingest: taken, ingestMessage: taken }) }),
);

const cents: DoFn<{ readonly id: string; readonly price: number }, number> = {
  process: ({ price }, context) => context.output(Math.round(price * 100)),
};
runAll(
  'prices in cents',
  doFnContract(() => cents, { input: (number) => ({ id: `p${number}`, price: number / 7 }) }),
);
