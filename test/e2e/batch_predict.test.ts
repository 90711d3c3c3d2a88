import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { encodeRows } from '#connectors/files/encode_rows';
import { assetPath } from '#kernel/project_root';
import { byForm } from '../support/jest/forms.ts';
import { commandEnvironment, runCommand } from '../support/platforms/command_line.ts';

// Files scored on the command line, stopped in the middle, and gone on with.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
const FILES = 24;
const ROWS = byForm({ short: 4_000, long: 10_000 });
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'batch-predict-'));
  const { examples } = JSON.parse(readFileSync(join(SHIPPED, 'headwater.json'), 'utf8')) as {
    examples: { features: object }[];
  };
  mkdirSync(join(folder, 'in'));
  for (let file = 0; file < FILES; file += 1) {
    const rows = Array.from({ length: ROWS }, (_, at) => ({
      ...{ id: `${file}-${at}`, ...examples[at % examples.length]?.features },
    }));
    writeFileSync(join(folder, 'in', `${file}.parquet`), encodeRows('parquet', rows));
  }
  await headwater('models', 'register', 'fraud_detector', SHIPPED);
  await headwater('models', 'promote', 'fraud_detector', '1', '--force');
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const headwater = (...args: readonly string[]) => runCommand(folder, args);

const batch = (out: string, ...more: readonly string[]) => [
  ...['predictions', 'batch', 'fraud_detector', '--in', 'in/*.parquet', '--out', out, '--threads', '2', ...more],
];
const filesOf = (out: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(join(folder, out))
      .filter((name) => name.endsWith('.parquet'))
      .map((name) => [name, readFileSync(join(folder, out, name)).toString('base64')]),
  );

test('killed in the middle, it goes on, and comes to what it comes to in one go', async () => {
  const whole = await headwater(...batch('whole'));
  expect(whole.code).toBe(0);
  expect(JSON.parse(whole.stdout.trimEnd().split('\n').at(-1) as string)).toEqual({
    ...{ model: 'fraud_detector', version: 1, parts: FILES, rows: FILES * ROWS, refused: 0 },
  });
  const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...batch('killed')], {
    env: commandEnvironment(folder),
    cwd: folder,
    stdio: 'ignore',
  });
  const done = () => {
    try {
      return readdirSync(join(folder, 'killed/_done')).filter((name) => name.endsWith('.json')).length;
    } catch {
      return 0;
    }
  };
  while (done() < 3) await sleep(5);
  child.kill('SIGKILL');
  await new Promise((resolve) => child.on('close', resolve));
  expect(done()).toBeLessThan(FILES);
  const again = await headwater(...batch('killed'));
  expect(again.stdout).toMatch(/parts were there already/);
  expect(filesOf('killed')).toEqual(filesOf('whole'));
}, 200_000);

test('what cannot be is told: no files, no version, a folder with other answers', async () => {
  expect(await headwater('predictions', 'batch', 'fraud_detector', '--in', 'none/*.csv', '--out', 'x')).toMatchObject({
    ...{ code: 1, stderr: expect.stringContaining('there are no files like none/*.csv') },
  });
  expect(await headwater(...batch('x', '--model-version', '9'))).toMatchObject({
    stderr: expect.stringContaining('there is no version 9 of fraud_detector'),
  });
  expect(await headwater(...batch('whole', '--format', 'csv'))).toMatchObject({
    stderr: expect.stringContaining('whole holds answers of another run'),
  });
}, 60_000);
