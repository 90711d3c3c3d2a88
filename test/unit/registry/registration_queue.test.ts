import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from '@jest/globals';
import { InvalidModelError, RegistryUnavailableError } from '#registry/errors';
import { LocalRegistry } from '#registry/local/local_registry';
import { writeModelFolder } from '#registry/model_folder';
import type { NewModelVersion } from '#registry/model_registry';
import { type Registered, RegistrationQueue } from '#registry/registration_queue';
import { FolderLock } from '#storage/folder_lock';
import { tinyModel } from '../../support/platforms/tiny_model.ts';

let folder: string;
let queue: RegistrationQueue;
let told: Registered[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'queue-'));
  queue = new RegistrationQueue(join(folder, 'registrations'));
  told = [];
});

const trained = async (auc: number): Promise<string> => {
  const out = join(folder, 'out');
  const card = { metrics: { auc }, params: { seed: '7' } };
  await writeModelFolder(out, tinyModel(auc), { card, attachments: new Map([['report.html', Buffer.from('<p>')]]) });
  return out;
};
const registry = () => new LocalRegistry({ kind: 'local', directory: join(folder, 'models') });
const drain = (into: LocalRegistry) => queue.drain(into, (registered) => told.push(registered));

class Away extends LocalRegistry {
  override async register(): Promise<never> {
    throw new RegistryUnavailableError('MLflow does not answer', new Error('ECONNREFUSED'));
  }
}

test('what was trained while the registry was away waits, whatever is trained next into the same folder, and is registered in order', async () => {
  await queue.add('tiny', await trained(0.7), 'first');
  await queue.add('tiny', await trained(0.8), 'second');
  await expect(drain(new Away({ kind: 'local', directory: folder }))).rejects.toThrow('does not answer');
  expect((await queue.list()).map(({ description }) => description)).toEqual(['first', 'second']);
  const local = registry();
  await drain(local);
  const versions = await local.listVersions('tiny');
  expect(versions.map(({ metrics, description }) => [metrics.auc, description])).toEqual([
    [0.7, 'first'],
    [0.8, 'second'],
  ]);
  const [, second] = versions;
  expect(Buffer.from((await local.attachment(second as never, 'report.html')) as Uint8Array).toString()).toBe('<p>');
  expect(await local.attachment(second as never, 'nothing')).toBeUndefined();
  expect(await queue.list()).toEqual([]);
  await drain(local);
  expect(told).toHaveLength(2);
});

test('what the registry refuses for good is put aside, and the next one is registered', async () => {
  class Picky extends LocalRegistry {
    override async register(model: NewModelVersion) {
      if (model.metrics.auc === 0.1) throw new InvalidModelError(['it is of no use']);
      return super.register(model);
    }
  }
  await queue.add('tiny', await trained(0.1), 'bad');
  await queue.add('tiny', await trained(0.9), 'good');
  await drain(new Picky({ kind: 'local', directory: join(folder, 'models') }));
  expect(told.map(({ outcome }) => Object.keys(outcome))).toEqual([['refused', 'folder'], ['version']]);
  expect(readdirSync(join(folder, 'registrations'))).toEqual([expect.stringMatching(/\.refused$/)]);
});

test('what another process has taken is left to it', async () => {
  await queue.add('tiny', await trained(0.7), 'taken');
  const directory = join(folder, 'registrations');
  const [entry] = readdirSync(directory) as [string];
  renameSync(join(directory, entry), join(directory, `${entry}.taken`));
  const other = await FolderLock.acquire(directory);
  await drain(registry());
  expect(told).toEqual([]);
  await other.release();
  // That process is gone: what it had taken is registered by the next one.
  await drain(registry());
  expect(told).toHaveLength(1);
  expect(await queue.list()).toEqual([]);
});

test('half a folder is no registration', async () => {
  mkdirSync(join(folder, 'registrations', '1790000000000-abcdef12.incomplete'), { recursive: true });
  writeFileSync(join(folder, 'registrations', '1790000000000-abcdef12.incomplete', 'model.onnx'), '');
  await drain(registry());
  expect(told).toEqual([]);
});

test('a model whose files changed while it waited is put aside, whichever file it was and whatever still parses', async () => {
  const directory = join(folder, 'registrations');
  for (const name of ['model.onnx', 'headwater.json', 'card.json', 'report.html']) {
    await queue.add('tiny', await trained(0.7), name);
    const [entry] = readdirSync(directory).filter((each) => /^\d+-\w+$/.test(each)) as [string];
    const file = join(directory, entry, name);
    const bytes = readFileSync(file);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(file, bytes);
    await drain(registry());
    expect([name, told.at(-1)?.outcome]).toEqual([
      name,
      { refused: expect.stringContaining(name), folder: expect.anything() },
    ]);
  }
  expect(await registry().listVersions('tiny')).toEqual([]);
});
