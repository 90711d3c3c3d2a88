import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { byForm } from '../../support/jest/forms.ts';

const run = promisify(execFile);
const headwater = (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
  run(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], { env: { ...process.env, NODE_OPTIONS: '' } });

// Query 0 passes events through: one thread. The others group, join, keep state or read side inputs: the short form has one of each.
test.each(byForm({ short: [0, 3, 5, 7], long: [0, 1, 2, 3, 4, 5, 6, 7, 8] }))(
  'Nexmark query %i on three worker threads gives the oracle’s answer',
  async (query) => {
    const { stdout } = await headwater(
      'pipelines',
      'run',
      'nexmark/pipeline',
      '--option',
      `query=${query}`,
      '--threads',
      '3',
    );
    expect(stdout).toMatch(/nexmark\/pipeline done on embedded/);
  },
  // A process and three threads start: 4 s on a slow machine.
  30_000,
);

test('an error in a worker thread ends the job with the transform, the element and the place', async () => {
  const module = assetPath('test/support/failing_pipeline.mjs');
  const failed = await headwater('pipelines', 'run', module, '--threads', '2').then(
    () => undefined,
    (error: { stderr: string }) => error.stderr,
  );
  expect(failed).toMatch(/transform "Judge" failed in process on element \{"key":"b","value":"b"\}: no b, please/);
});

test('a worker thread that ends by itself ends the job, saying which', async () => {
  const module = assetPath('test/support/failing_pipeline.mjs');
  const failed = await headwater('pipelines', 'run', module, '--threads', '2', '--option', 'exit=true').then(
    () => undefined,
    (error: { stderr: string }) => error.stderr,
  );
  expect(failed).toMatch(/worker thread [01] ended by itself: exit code 3/);
});
