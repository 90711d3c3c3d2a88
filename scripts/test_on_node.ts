import { spawn } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { projectRoot } from '#kernel/project_root';
import { nodeBinary } from './services/node_binary.ts';

/**
 * `npm run test:node -- 24`: the unit and conformance suites on another Node, of which npm's package `node` brings the binary; without a version on all that are
 * supported besides the one that runs. Arguments behind it go to Jest: `npm run test:node -- 22 test/unit/kernel`.
 */
const SUPPORTED = ['20', '22', '24'] as const;
const own = process.versions.node.split('.')[0] as string;
const [first = '', ...rest] = process.argv.slice(2);
const isVersion = /^\d+(\.\d+)*$/.test(first);
const versions = isVersion ? [first] : SUPPORTED.filter((version) => version !== own);
const patterns = isVersion ? rest : process.argv.slice(2);

const failed: string[] = [];
for (const version of versions) {
  const node = await nodeBinary(version);
  process.stdout.write(`\n=== Node ${version}: unit and conformance\n`);
  const jest = join(projectRoot, 'node_modules/jest/bin/jest.js');
  const args = ['--experimental-vm-modules', '--no-warnings', jest, ...patterns];
  // Workers and processes that tests start run on the same Node.
  const path = [dirname(node), process.env.PATH ?? ''].join(delimiter);
  const code = await run(node, [...args, '--selectProjects', 'unit', 'conformance', '--maxWorkers=2'], { PATH: path });
  if (code !== 0) failed.push(version);
}
process.stdout.write(
  `\n${failed.length === 0 ? `passed on Node ${versions.join(', ')}` : `failed on Node ${failed.join(', ')}`}\n`,
);
process.exitCode = failed.length === 0 ? 0 : 1;

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...{ cwd: projectRoot, stdio: 'inherit', env: { ...process.env, NODE_OPTIONS: '', ...env } },
    });
    child.once('error', reject);
    child.once('close', resolve);
  });
}
