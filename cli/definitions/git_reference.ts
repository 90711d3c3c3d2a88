import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GitReferenceError } from './definition_errors.ts';

const run = promisify(execFile);

async function git(folder: string, reference: string, ...args: readonly string[]): Promise<string> {
  try {
    // Hooks of the repository are for people's checkouts.
    const { stdout } = await run('git', ['-c', 'core.hooksPath=/dev/null', ...args], {
      cwd: folder,
      maxBuffer: 2 ** 26,
    });
    return stdout.trimEnd();
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { readonly stderr?: string };
    if (code === 'ENOENT') throw new GitReferenceError(reference, 'git is not installed');
    throw new GitReferenceError(reference, (stderr ?? '').trim() || message);
  }
}

/**
 * Checks a commit out into a temporary worktree, gives `work` the folder in it that corresponds to `folder`, and removes it again. The checkout of `folder` and its index stay as
 * they are.
 *
 * @throws {@link GitReferenceError} where `folder` is in no git repository, or the repository does not have the commit
 */
export async function withReference<T>(
  folder: string,
  reference: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const prefix = await git(folder, reference, 'rev-parse', '--show-prefix');
  const commit = await git(
    folder,
    reference,
    'rev-parse',
    '--verify',
    '--end-of-options',
    `${reference}^{commit}`,
  ).catch((error: unknown) => {
    if (!(error instanceof GitReferenceError)) throw error;
    throw new GitReferenceError(reference, 'this repository has no such commit: fetch it first');
  });
  const temporary = await mkdtemp(join(tmpdir(), 'headwater-check-'));
  const worktree = join(temporary, 'worktree');
  try {
    await git(folder, reference, 'worktree', 'add', '--detach', '--force', worktree, commit);
    return await work(join(worktree, prefix));
  } finally {
    await git(folder, reference, 'worktree', 'remove', '--force', worktree).catch(() => {});
    await rm(temporary, { recursive: true, force: true });
  }
}
