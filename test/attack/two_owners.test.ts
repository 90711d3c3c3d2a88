import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { byForm } from '../support/jest/forms.ts';
import { runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';
import { flipped, temporaryFolder } from '../support/servers/disk_folder.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder('owners');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const PROCESSES = byForm({ short: 5, long: 8 });
const LIVES = byForm({ short: 8, long: 20 });

test('of many processes, some of them killed while they have a folder, one has it at a time', async () => {
  const locked = join(folder, 'locked');
  mkdirSync(locked);
  let killed = 0;
  const contend = async (): Promise<void> => {
    for (let life = 0; life < LIVES; life += 1) {
      const script = assetPath('test/support/servers/lock_contender.mjs');
      const child = spawn(process.execPath, [script, locked, join(folder, 'inside'), '15', '10'], {
        ...{ cwd: assetPath('.'), env: { ...process.env, NODE_OPTIONS: '' }, stdio: ['ignore', 'ignore', 'pipe'] },
      });
      let errors = '';
      child.stderr?.on('data', (chunk: Buffer) => {
        errors += chunk.toString();
      });
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      if (signal !== 'SIGKILL') {
        expect([code, errors]).toEqual([0, '']);
        return;
      }
      killed += 1;
    }
  };
  await Promise.all(Array.from({ length: PROCESSES }, contend));
  // Without any kill the takeover of stale locks was not tried.
  expect(killed).toBeGreaterThan(0);
}, 240_000);

const event = (id: number) => ({
  event_id: `owner-${id}`,
  event_type: 'user_activity',
  user_id: `u${id % 3}`,
  timestamp: new Date().toISOString(),
});

test('a second platform on the same folders is refused, and commands talk to the one that runs', async () => {
  const data = join(folder, 'data');
  const platform = await PlatformProcess.start(data);
  try {
    await expect(PlatformProcess.start(data)).rejects.toThrow(`is in use by process ${platform.pid} on `);
    for (const [args, pattern] of [
      [['predictions', '--json'], /^\[\]$/m],
      [['dlq', 'list'], /^\d+ dead letters/],
      [['pipelines', 'lag', '--json'], /raw-events/],
      [['audit'], /"entries":0/],
      [['entities', 'erase', 'user:nobody', '--yes'], /"erased":true/],
      [['features', 'stats', '--json'], /^\[\]$/m],
      [['events', 'send', '--events', '20'], /20/],
      [['log', 'verify'], new RegExp(`in use by process ${platform.pid} `)],
    ] as const) {
      const { code, stdout, stderr } = await runCommand(folder, args, { DATA_DIRECTORY: data });
      expect([args.join(' '), code, stderr.includes('in use by')]).toEqual([args.join(' '), 0, false]);
      expect(stdout).toMatch(pattern);
    }
    // What cannot be done beside it names it.
    const repair = await runCommand(folder, ['log', 'repair'], { DATA_DIRECTORY: data });
    expect(repair).toMatchObject({ code: 1, stderr: expect.stringContaining(`is in use by process ${platform.pid} `) });
  } finally {
    await platform.kill();
  }
}, 900_000);

test('a bit that turned over in the log stops the start with file and byte; a repair puts it aside and says what is lost', async () => {
  const data = join(folder, 'data');
  const first = await PlatformProcess.start(data);
  for (let id = 0; id < 30; id += 1) {
    const answer = await fetch(`${first.urls.gateway}/ingest`, { method: 'POST', body: JSON.stringify(event(id)) });
    await answer.arrayBuffer();
  }
  await first.kill();
  const topics = ['raw-events', 'dead-letter-queue'].flatMap((topic) =>
    ['0', '1', '2', '3'].map((partition) => join(data, 'log', topic, partition)),
  );
  const files = topics.flatMap((each) =>
    readdirSync(each)
      .filter((name) => name.endsWith('.records'))
      .map((name) => join(each, name)),
  );
  const file = files.find((each) => readFileSync(each).length > 200) as string;
  const bytes = readFileSync(file);
  writeFileSync(file, flipped(bytes, 8 * 80 + 3));
  await expect(PlatformProcess.start(data)).rejects.toThrow(`${file} is damaged at byte`);
  const env = { DATA_DIRECTORY: data };
  const verified = await runCommand(folder, ['log', 'verify', '--json'], env);
  expect(verified.code).toBe(1);
  expect(verified.stdout).toContain(file);
  const repaired = await runCommand(folder, ['log', 'repair', '--json'], env);
  expect(repaired.code).toBe(0);
  const reports = JSON.parse(repaired.stdout) as { lost: object[]; moved: object[] }[];
  const report = reports.find(({ moved }) => moved.length > 0);
  expect(report?.lost).toEqual([{ from: 0, to: 0 }]);
  expect(report?.moved).toMatchObject([{ file, text: expect.any(String) }]);
  expect((await runCommand(folder, ['log', 'verify'], env)).code).toBe(0);
  const second = await PlatformProcess.start(data);
  expect(await second.terminate()).toBe(0);
}, 900_000);
