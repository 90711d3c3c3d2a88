import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { LocalRegistry } from '#registry/local/local_registry';
import { type CommandOutcome, runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';
import { tinyModel } from '../support/platforms/tiny_model.ts';
import { temporaryFolder } from '../support/servers/disk_folder.ts';

// A platform in one process, backed up while it takes events; then killed, its folder deleted, and restored.

const SECRET = 'a secret of tests that is long enough';
const USERS = 20;

let folder: string;
let data: string;
let platform: PlatformProcess;

const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandOutcome> =>
  runCommand(folder, args, {
    ...{ DATA_DIRECTORY: data, BACKUP_DIRECTORY: join(folder, 'backups'), BACKUP_SECRET: SECRET },
    ...env,
  });

const succeed = async (args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await run(args);
  expect([code, stderr.slice(-500)]).toEqual([0, expect.anything()]);
  return stdout;
};

async function send(id: string, user: string): Promise<void> {
  const event = {
    ...{ event_id: id, event_type: 'transaction', user_id: user, account_id: user, amount: 12, currency: 'EUR' },
    ...{ merchant_id: 'm1', merchant_category: 'grocery', country: 'DE', timestamp: new Date().toISOString() },
  };
  const answer = await fetch(`${platform.urls.gateway}/ingest`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(event) },
  });
  expect(answer.status).toBe(202);
}

const count = async (user: string): Promise<unknown> => {
  const answer = await fetch(`${platform.urls.features}/features/${user}?view=fraud@1`);
  const { features } = (await answer.json()) as { features?: Record<string, { value: unknown }> };
  return features?.count_1h?.value;
};

async function waitFor(user: string, wanted: number): Promise<void> {
  const giveUpAt = Date.now() + 60_000;
  while ((await count(user)) !== wanted && Date.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect([user, await count(user)]).toEqual([user, wanted]);
}

beforeAll(async () => {
  folder = temporaryFolder('backup');
  data = join(folder, 'data');
  mkdirSync(folder, { recursive: true });
  const registry = new LocalRegistry({ kind: 'local', directory: join(data, 'models') });
  await registry.register({ name: 'kept', package: tinyModel(0), metrics: {}, params: {} });
  await registry.close();
  platform = await PlatformProcess.start(data);
  for (let user = 0; user < USERS; user += 1) await send(`a-${user}`, `u${user}`);
  await waitFor(`u${USERS - 1}`, 1);
}, 300_000);
afterAll(async () => {
  await platform.kill();
  rmSync(folder, { recursive: true, force: true });
});

test('a platform is backed up while it runs, lost, and restored with what it had', async () => {
  const first = JSON.parse(await succeed(['backup', 'create', '--json'])) as { writtenBytes: number; parts: string[] };
  expect(first.parts).toEqual(expect.arrayContaining(['snapshots', 'registry', 'archive', 'offline', 'log']));
  for (let user = 0; user < USERS; user += 1) await send(`b-${user}`, `u${user}`);
  await waitFor(`u${USERS - 1}`, 2);
  const second = JSON.parse(await succeed(['backup', '--json'])) as { writtenBytes: number; id: string };
  expect(second.writtenBytes).toBeLessThan(first.writtenBytes / 2);
  expect(await succeed(['backup', 'verify'])).toContain(`${second.id}: `);
  expect((await succeed(['backup', 'list'])).trim().split('\n')).toHaveLength(2);
  expect(JSON.parse(await succeed(['backup', 'list', '--json']))).toMatchObject([{}, { id: second.id }]);

  await platform.kill();
  rmSync(data, { recursive: true });
  expect(await succeed(['drill'])).toMatch(/RPO .* s, RTO .* s, (\d+) of \1 counts hold\n$/);
  await succeed(['restore']);
  expect((await run(['restore'])).stderr).toContain('--missing');
  expect(await succeed(['log', 'verify'])).not.toContain('damage:');
  platform = await PlatformProcess.start(data);
  await send('a-0', 'u0');
  await send('c-0', 'u0');
  // The second event of each user is there, an event that was counted is not counted again, and counting continues.
  await waitFor('u0', 3);
  for (let user = 1; user < USERS; user += 1) expect([user, await count(`u${user}`)]).toEqual([user, 2]);
}, 300_000);

test('a model that the registry lost is restored beside the others', async () => {
  const model = join(data, 'models', 'kept');
  expect(existsSync(model)).toBe(true);
  rmSync(model, { recursive: true });
  expect(await succeed(['restore', '--only', 'registry', '--missing'])).toMatch(/registry: [1-9]/);
  expect(await succeed(['models', 'list'])).toContain('kept');
}, 120_000);

test('a platform with a schedule backs itself up, drills, and removes what has expired', async () => {
  await platform.kill();
  const settings = {
    ...{ BACKUP_DIRECTORY: join(folder, 'backups'), BACKUP_SECRET: SECRET, BACKUP_KEEP: '1ms' },
    ...{ BACKUP_SCHEDULE: '0 * * * *', BACKUP_DRILL: '30 3 * * SUN' },
  };
  platform = await PlatformProcess.start(data, settings);
  const succeedWith = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(args, settings);
    expect([code, stderr.slice(-500)]).toEqual([0, expect.anything()]);
    return stdout;
  };
  // Beside those of the project.
  expect(JSON.parse(await succeedWith('schedules', 'list', '--json'))).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ name: 'backup', workflow: 'backup' }),
      expect.objectContaining({ name: 'backup_drill', workflow: 'backup_drill' }),
    ]),
  );
  const before = JSON.parse(await succeedWith('backup', 'list', '--json')) as readonly { readonly id: string }[];
  const made = JSON.parse(await succeedWith('workflows', 'run', 'backup', '--wait', '--json')) as {
    readonly status: string;
    readonly output: { readonly id: string; readonly removed: readonly string[] };
  };
  expect(made).toMatchObject({ status: 'succeeded', output: { removed: before.map(({ id }) => id) } });
  const left = JSON.parse(await succeedWith('backup', 'list', '--json')) as readonly { readonly id: string }[];
  expect(left.map(({ id }) => id)).toEqual([made.output.id]);
  // Nothing that the last one needs was removed with the others.
  expect(await succeedWith('backup', 'verify')).toContain(`${made.output.id}: `);
  const drilled = JSON.parse(await succeedWith('workflows', 'run', 'backup_drill', '--wait', '--json')) as unknown;
  expect(drilled).toMatchObject({ status: 'succeeded', output: { id: made.output.id, isWhole: true } });
  const refused = await run(['workflows', 'list'], { BACKUP_SCHEDULE: '0 * * * *', BACKUP_SECRET: '' });
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('BACKUP_SECRET')]);
}, 300_000);

test('another secret, a damaged object and a missing part are errors that name them', async () => {
  const other = await run(['backup', 'verify'], { BACKUP_SECRET: 'another secret that is long enough too' });
  expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('BACKUP_SECRET')]);
  expect((await run(['restore', '--only', 'nothing'])).stderr).toContain('no part "nothing"');
  const copy = join(folder, 'damaged');
  cpSync(join(folder, 'backups'), copy, { recursive: true });
  const objects = readdirSync(join(copy, 'objects'), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  for (const object of objects) {
    const file = join(object.parentPath, object.name);
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    writeFileSync(file, bytes);
  }
  const damaged = await run(['backup', 'verify'], { BACKUP_DIRECTORY: copy });
  expect([damaged.code, damaged.stderr]).toEqual([1, expect.stringMatching(/objects\/.* is damaged/)]);
}, 120_000);
