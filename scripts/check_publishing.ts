import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assetPath, projectRoot } from '#kernel/project_root';
import { publishingProblems } from './checking/publishing.ts';
import { run, say } from './services/install.ts';

// npm run check:publishing: each package is made as a release makes it, and checked. Nothing is published.

const { version } = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as { version: string };
const problems = [...publishingProblems()];
const folder = mkdtempSync(join(tmpdir(), 'publishing-'));
try {
  const packed = await run(
    'npm',
    ['publish', '--dry-run', '--ignore-scripts', '--access', 'public', '--loglevel', 'notice'],
    {
      cwd: projectRoot,
    },
  );
  if (!packed.includes(`headwater@${version}`)) problems.push(`npm publish --dry-run names no headwater@${version}`);
  say(`npm publish --dry-run: headwater@${version}`);
  const tools = join(folder, 'tools');
  await run('python3', ['-m', 'venv', tools]);
  const python = join(tools, 'bin', 'python');
  await run(python, ['-m', 'pip', 'install', '-q', 'build==1.6.1', 'hatchling==1.33.0', 'twine==7.0.0']);
  const dist = join(folder, 'dist');
  await run(python, ['-m', 'build', '--no-isolation', '--outdir', dist], { cwd: assetPath('python') });
  const made = readdirSync(dist);
  if (!made.includes(`headwater-${version}-py3-none-any.whl`))
    problems.push(`the wheel is not of ${version}: ${made.join(', ')}`);
  await run(python, ['-m', 'twine', 'check', '--strict', ...made.map((name) => join(dist, name))]);
  say(`twine check: ${made.join(', ')}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
