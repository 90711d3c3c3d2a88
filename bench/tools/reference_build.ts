import { execFile } from 'node:child_process';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withReference } from '#cli/definitions/git_reference';
import { projectRoot } from '#kernel/project_root';

const run = promisify(execFile);

/**
 * Builds a commit in a temporary worktree, with the dependencies that it locks, and calls `work` with its folder.
 *
 * @throws where the commit is unknown or does not build
 */
export function withBuiltReference<T>(reference: string, work: (folder: string) => Promise<T>): Promise<T> {
  return withReference(projectRoot, reference, async (folder) => {
    process.stderr.write(`bench: installing and building ${reference}, some minutes\n`);
    await installDependencies(folder);
    await run('npm', ['run', '-s', 'build'], { cwd: folder, maxBuffer: 2 ** 26 });
    return work(folder);
  });
}

/** Those of this tree, where both lock the same. */
async function installDependencies(folder: string): Promise<void> {
  const [own, other] = await Promise.all(
    [projectRoot, folder].map((each) => readFile(join(each, 'package-lock.json'), 'utf8')),
  );
  if (own === other) return symlink(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
  await run('npm', ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'], {
    cwd: folder,
    maxBuffer: 2 ** 26,
  });
}
