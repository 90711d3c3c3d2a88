import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { runCommand } from '../support/platforms/command_line.ts';

// A model in a folder, elsewhere: nothing of this project beside it, and no network.

const SHIPPED = assetPath('examples/fraud/models/fraud_detector');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'edge-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Whoever tries to connect, or asks for a name, fails. */
const NO_NETWORK = `
import net from 'node:net';
import dns from 'node:dns';
const refuse = () => { throw new Error('there is no network'); };
net.Socket.prototype.connect = refuse;
dns.lookup = refuse;
`;

test('a bundle predicts what the model was trained to, and says what it cannot take', async () => {
  await runCommand(folder, ['models', 'register', 'fraud_detector', SHIPPED]);
  await runCommand(folder, ['models', 'promote', 'fraud_detector', '1', '--force']);
  const made = await runCommand(folder, ['models', 'bundle', 'fraud_detector']);
  expect(made).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^fraud_detector 1 is in .*fraud_detector-edge/),
  });
  const moved = join(folder, 'moved');
  renameSync(join(folder, 'fraud_detector-edge'), moved);
  writeFileSync(join(folder, 'no_network.mjs'), NO_NETWORK);

  const { examples } = JSON.parse(readFileSync(join(SHIPPED, 'headwater.json'), 'utf8')) as {
    examples: { features: object; output: readonly [number, number] }[];
  };
  const run = (input: string) =>
    spawnSync(process.execPath, ['--import', join(folder, 'no_network.mjs'), join(moved, 'predict.mjs')], {
      ...{ input, encoding: 'utf8', cwd: folder, env: { PATH: process.env.PATH } },
    });
  const { stdout, stderr, status } = run(examples.map(({ features }) => JSON.stringify(features)).join('\n'));
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { prediction: string; outputs: { legitimate: number; fraud: number } });
  expect(answers).toHaveLength(examples.length);
  for (const [index, { prediction, outputs }] of answers.entries()) {
    const [legitimate, fraud] = (examples[index] as (typeof examples)[number]).output;
    expect(outputs.legitimate).toBeCloseTo(legitimate, 5);
    expect(outputs.fraud).toBeCloseTo(fraud, 5);
    expect(['legitimate', 'fraud']).toContain(prediction);
  }
  const bad = run('{"amount": "x"}\n');
  expect(bad).toMatchObject({ status: 1, stdout: expect.stringMatching(/amount must be a number/) });

  const elsewhere = await runCommand(folder, ['models', 'bundle', 'fraud_detector', '--platforms', 'linux/sparc']);
  expect(elsewhere).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/there is no onnxruntime for linux\/sparc/),
  });
}, 120_000);
