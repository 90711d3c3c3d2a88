import { spawn } from 'node:child_process';
import { assetPath } from '#kernel/project_root';

/** Runs tests of an example with `headwater test`, as a user does in its folder. @param args - files; none: its tests */
export async function testExample(
  example: string,
  args: readonly string[] = [],
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), 'test', ...args], {
    cwd: assetPath(`examples/${example}`),
    env: { ...process.env, HEADWATER_PROJECT: '', NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, output };
}
