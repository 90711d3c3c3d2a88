import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from '@jest/globals';
import { StageAliasSync } from '#registry/lifecycle/stage_alias_sync';
import { LocalRegistry } from '#registry/local/local_registry';
import { tinyModel } from '../../support/platforms/tiny_model.ts';

let directory: string;
let registry: LocalRegistry;
let sync: StageAliasSync;
const NAME = 'tiny';
const state = async () => [
  (await registry.resolve(NAME, { stage: 'Production' }))?.version,
  (await registry.resolve(NAME, { alias: 'champion' }))?.version,
];

/** As MLflow's user interface does it: the alias stays where it is. */
async function moveStage(version: number): Promise<void> {
  const champion = await registry.resolve(NAME, { alias: 'champion' });
  await registry.transition(NAME, version, 'Production');
  if (champion !== undefined) await registry.setAlias(NAME, 'champion', champion.version);
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sync-'));
  registry = new LocalRegistry({ kind: 'local', directory });
  sync = new StageAliasSync(registry);
  for (const bias of [1, 2, 3]) {
    await registry.register({ name: NAME, package: tinyModel(bias), metrics: {}, params: {} });
  }
});

test('nothing in production, nothing to do', async () => {
  expect(await sync.check(NAME)).toBeUndefined();
  expect(await sync.check('nobody')).toBeUndefined();
});

test('whichever of the two is moved, the other one follows', async () => {
  await registry.transition(NAME, 1, 'Production');
  await sync.check(NAME);
  expect(await state()).toEqual([1, 1]);
  await registry.setAlias(NAME, 'champion', 2);
  expect(await sync.check(NAME)).toMatchObject({ version: 2 });
  expect(await state()).toEqual([2, 2]);
  await moveStage(3);
  expect(await state()).toEqual([3, 2]);
  expect(await sync.check(NAME)).toMatchObject({ version: 3 });
  expect(await state()).toEqual([3, 3]);
});

test('where they disagree and neither is known to have moved, the alias wins and it is reported; an alias alone makes a production', async () => {
  const disagreements: unknown[] = [];
  const watched = new StageAliasSync(registry, { onDisagreement: (...given) => disagreements.push(given) });
  await registry.transition(NAME, 2, 'Production');
  await registry.setAlias(NAME, 'champion', 1);
  expect(await watched.check(NAME)).toMatchObject({ version: 1 });
  expect(await state()).toEqual([1, 1]);
  expect(disagreements).toEqual([[NAME, 1, 2]]);
  // Both have moved.
  await moveStage(3);
  await registry.setAlias(NAME, 'champion', 2);
  expect(await watched.check(NAME)).toMatchObject({ version: 2 });
  expect(disagreements).toEqual([
    [NAME, 1, 2],
    [NAME, 2, 3],
  ]);

  const other = 'other';
  await registry.register({ name: other, package: tinyModel(1), metrics: {}, params: {} });
  await registry.setAlias(other, 'champion', 1);
  expect(await sync.check(other)).toMatchObject({ version: 1 });
  expect(await registry.resolve(other, { stage: 'Production' })).toMatchObject({ version: 1 });
});

test('while somebody promotes, nothing is touched', async () => {
  await registry.transition(NAME, 1, 'Production');
  await sync.check(NAME);
  await registry.setAlias(NAME, 'champion', 2);
  await registry.exclusively(NAME, async () => {
    expect(await sync.check(NAME)).toMatchObject({ version: 1 });
    expect(await state()).toEqual([1, 2]);
  });
  expect(await sync.check(NAME)).toMatchObject({ version: 2 });
});

test('what was taken out of production is not put back because its alias was left behind', async () => {
  await registry.transition(NAME, 1, 'Production');
  await sync.check(NAME);
  await registry.transition(NAME, 1, 'Archived');
  await registry.setAlias(NAME, 'champion', 1);
  expect(await sync.check(NAME)).toBeUndefined();
  expect(await new StageAliasSync(registry).check(NAME)).toBeUndefined();
  expect(await state()).toEqual([undefined, 1]);
});

test('whoever may only read follows what has moved, and says once that the other could not be moved', async () => {
  await registry.transition(NAME, 1, 'Production');
  class ReadOnly extends LocalRegistry {
    override async transition(): Promise<never> {
      throw new Error('403: not for you');
    }
  }
  const failures: number[] = [];
  const reader = new StageAliasSync(new ReadOnly({ kind: 'local', directory }), {
    onFailure: (_, version) => failures.push(version),
  });
  await reader.check(NAME);
  await registry.setAlias(NAME, 'champion', 2);
  for (let look = 0; look < 3; look += 1) expect(await reader.check(NAME)).toMatchObject({ version: 2 });
  expect(failures).toEqual([2]);
  expect(await state()).toEqual([1, 2]);
});
