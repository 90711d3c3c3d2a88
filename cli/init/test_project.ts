import { spawn } from 'node:child_process';
import { join, relative } from 'node:path';
import { glob } from 'tinyglobby';
import { projectFolder, requireConfigFile } from '../project/loading/find_project.ts';
import { UsageError } from '../terminal/usage_error.ts';

/** `headwater test`: runs the tests of a project with Node's test runner, from their TypeScript sources. */
export async function testProject(patterns: readonly string[], { watch }: { readonly watch: boolean }): Promise<void> {
  const folder = projectFolder();
  requireConfigFile(folder);
  const files = await glob(patterns.length === 0 ? ['test/**/*.test.{ts,mts,js,mjs}'] : [...patterns], {
    ...{ cwd: folder, absolute: true, ignore: ['**/node_modules/**'] },
  });
  if (files.length === 0) {
    const where =
      patterns.length === 0
        ? `${relative(process.cwd(), join(folder, 'test')) || '.'}/**/*.test.ts`
        : patterns.join(', ');
    throw new UsageError(`no file matches ${where}`);
  }
  const hooks = new URL(
    `../project/loading/register_hooks${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
    import.meta.url,
  );
  const args = ['--import', hooks.href, '--test', ...(watch ? ['--watch'] : []), ...files.sort()];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: 'inherit' });
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}
