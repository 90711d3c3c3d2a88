import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { DAY_MS, HOUR_MS } from '#kernel/time';
import { commandEnvironment } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { ProjectCopy } from '../../support/platforms/project_copy.ts';

// docs/evolving.md: its edits and commands, in their order, by a user of a project in git, on a platform that runs.

const MODULE = 'examples/activity/features/user_activity.ts';
let folder: string;
let sources: string;
let project: ProjectCopy;
let platform: PlatformProcess | undefined;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'evolving-'));
  const bin = join(folder, 'bin');
  sources = join(folder, 'sources');
  for (const each of [bin, sources]) mkdirSync(each);
  project = new ProjectCopy(sources);
  // The archive has its files soon: nothing here is about how long it waits for more.
  mkdirSync(join(sources, 'configs'));
  writeFileSync(join(sources, 'configs', 'embedded.yaml'), 'archive:\n  flushEvery: 1s\n');
  const git = (...args: readonly string[]) =>
    execFileSync('git', ['-c', 'user.name=ann', '-c', 'user.email=ann@example.com', ...args], { cwd: sources });
  git('init', '--quiet', '--initial-branch=main');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'Define features');
  const headwater = join(bin, 'headwater');
  writeFileSync(headwater, `#!/bin/sh\nexec '${process.execPath}' '${assetPath('dist/cli/headwater.js')}' "$@"\n`);
  chmodSync(headwater, 0o755);
});
afterAll(async () => {
  await platform?.terminate();
  rmSync(folder, { recursive: true, force: true });
});

const data = (): string => join(folder, 'data');
const restart = async (): Promise<void> => {
  await platform?.terminate();
  platform = await PlatformProcess.start(data(), project.env);
};

async function run(command: string): Promise<string> {
  const env = {
    ...commandEnvironment(sources, project.env),
    ...{ DATA_DIRECTORY: data(), PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}` },
  };
  const { stdout } = await promisify(execFile)('sh', ['-e', '-c', command], { cwd: sources, env });
  return stdout;
}

/** As the page has it. */
function edit(diff: string): void {
  const lines = (sign: string): string =>
    diff
      .split('\n')
      .filter((line) => line.startsWith(sign))
      .map((line) => line.slice(1))
      .join('\n');
  const file = join(sources, MODULE);
  const source = readFileSync(file, 'utf8');
  expect(source).toContain(lines('-'));
  writeFileSync(file, source.replace(lines('-'), lines('+')));
}

async function featuresOf(user: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(`${platform?.urls.features}/features/${user}?entity=user&version=v2`);
  if (!answer.ok) return {};
  const { features } = (await answer.json()) as { features: Record<string, { value: unknown }> };
  return Object.fromEntries(Object.entries(features).map(([name, { value }]) => [name, value]));
}

async function becomes(user: string, expected: Readonly<Record<string, unknown>>): Promise<void> {
  const seen = async () => {
    const features = await featuresOf(user);
    return Object.fromEntries(Object.keys(expected).map((name) => [name, features[name]]));
  };
  let last = await seen();
  for (let tries = 0; tries < 150 && JSON.stringify(last) !== JSON.stringify(expected); tries += 1) {
    await sleep(200);
    last = await seen();
  }
  expect(last).toEqual(expected);
}

const NOW = Date.now();
const ingest = async (id: string, type: string, agoMs: number): Promise<void> => {
  const event = { event_id: id, user_id: 'ann', event_type: type, timestamp: new Date(NOW - agoMs).toISOString() };
  const answer = await fetch(`${platform?.urls.gateway}/ingest`, { method: 'POST', body: JSON.stringify(event) });
  expect(answer.status).toBe(202);
};

test('the edits and commands of the page do what it says', async () => {
  const page = readFileSync(assetPath('docs/evolving.md'), 'utf8');
  const blocks = [...page.matchAll(/```(bash|diff)\n([\s\S]*?)```/g)].map(([, kind, text]) => ({
    kind,
    text: text ?? '',
  }));
  const step = async (): Promise<string> => {
    const { kind, text } = blocks.shift() as (typeof blocks)[number];
    if (kind === 'diff') {
      edit(text);
      return 'edited';
    }
    if (text.trim() === 'headwater start') {
      await restart();
      return 'started';
    }
    return run(text);
  };
  await restart();
  for (const [at, type] of ['view', 'click', 'purchase'].entries())
    await ingest(`old${at}`, type, 2 * DAY_MS + at * HOUR_MS);
  await becomes('ann', { distinct_event_types_24h: 3 });
  await ingest('new', 'search', HOUR_MS);
  await becomes('ann', { distinct_event_types_24h: 1 });
  const archived = () => {
    const at = join(data(), 'archive');
    return existsSync(at) ? readdirSync(at).filter((name) => name.startsWith('event_type=')).length : 0;
  };
  for (let tries = 0; tries < 450 && archived() < 4; tries += 1) await sleep(200);

  expect(await step()).toBe('edited');
  expect(await step()).toMatch(
    /~ view user_activity@2: changed\n +feature distinct_event_types_3d of user_activity@2 was added\n +back-fill of distinct_event_types_3d of user_activity@2 \(source user_events\) from \d files of the archive of raw events, .*: about 4 events, about 1 s/,
  );
  expect(await step()).toMatch(/PASS {2}1 change since main, none that breaks fraud_detector/);
  expect(await step()).toBe('started');
  expect(await step()).toMatch(/user_activity@2: 4 events; the stream has taken over the state of 1 entities\napplied/);
  await becomes('ann', { distinct_event_types_24h: 1, distinct_event_types_3d: 4 });
  await ingest('live', 'login', 0);
  await becomes('ann', { distinct_event_types_24h: 2, distinct_event_types_3d: 5 });
  expect(await step()).toMatch(/"share":1/);
  expect(readFileSync(join(sources, 'compared/data.csv'), 'utf8')).toMatch(/distinct_event_types_3d/);
  expect(await step()).toMatch(/used by +no model/);
  expect(await step()).toBe('edited');
  expect(await step()).toMatch(
    /view user_activity@2: changed, breaking\n +feature distinct_event_types_24h of user_activity@2 was removed[\s\S]*applied/,
  );
  expect(await step()).toBe('started');
  expect(await step()).toMatch(/nothing to apply/);
  expect(blocks).toEqual([]);
  await ingest('last', 'logout', 0);
  await becomes('ann', { distinct_event_types_3d: 6, distinct_event_types_24h: undefined });
}, 900_000);
