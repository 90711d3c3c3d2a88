import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { packTree, progress } from '#scripts/building/installed_package';
import { Reader } from '../support/platforms/followed_pages.ts';

// The tutorial, and the quick start with the how-tos that need no servers, followed from an empty folder.

let folder: string;
let tarball: string;
let reader: Reader | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tutorial-'));
  tarball = await packTree(assetPath(''), join(folder, 'registry'));
}, 300_000);
afterEach(async () => {
  await reader?.end();
}, 60_000);
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
}, 60_000);

async function followed(name: string, ...pages: readonly string[]): Promise<Reader> {
  reader = await Reader.in({ folder: join(folder, name), tarball });
  await reader.follow(...pages);
  return reader;
}

test('the tutorial leads from an empty folder to a prediction by entity', async () => {
  const page = await followed('tutorial', 'tutorial');
  expect(page.outputOf('node prepare.mjs')).toMatch(/^10000 flights, 7900 labels$/m);
  expect(page.answerOf('/ingest/batch')).toMatchObject({ accepted: 100 });
  const { features } = page.answerOf('/features/ATL') as { features: Record<string, { readonly value: unknown }> };
  expect(features.flights_7d?.value).toBeGreaterThan(10);
  const { prediction, probabilities, ...predicted } = page.answerOf('/predict') as {
    readonly prediction: string;
    readonly probabilities: Readonly<Record<string, number>>;
  };
  progress(`prediction for ATL: ${JSON.stringify({ prediction, probabilities })}`);
  expect(['on_time', 'late']).toContain(prediction);
  expect(Object.keys(probabilities).sort()).toEqual(['late', 'on_time']);
  expect(predicted).toMatchObject({ model_name: 'late', model_version: 1 });
}, 1_800_000);

test('the quick start and the how-tos that need no servers lead where they say', async () => {
  const pages = ['find_why_a_value', 'erase_a_user', 'add_a_feature', 'tune'].map((name) => `how_to/${name}`);
  const page = await followed('quick_start', 'quick_start', ...pages);
  const { features } = page.answerOf('/features/c1') as { features: Record<string, { readonly value: unknown }> };
  expect(features.purchases_1h?.value).toBe(1);
  expect(page.answerOf('purchases_1h --json')).toMatchObject({ equal: true });
  expect(page.outputOf('features show purchase_size@1')).toContain('mean_amount_7d');
  expect(page.outputOf('npx headwater plan')).toContain('purchase_size@1');
  // What the page changes has the effect that it says: batches cost less, and rows come from the cache.
  const rates = page.outputOf('tee before.txt');
  progress(rates.trim().replaceAll('\n', '; '));
  const rateOf = (what: string): number => Number(new RegExp(`^${what}: (\\d+) a second`, 'm').exec(rates)?.[1]);
  expect(rateOf('events in batches of 100')).toBeGreaterThan(2 * rateOf('events one by one'));
  expect(page.outputOf('grep -h cache')).toMatch(/^cache hits: 0%\ncache hits: (?:9\d|100)%$/m);
}, 900_000);
