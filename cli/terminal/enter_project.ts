import { chdir, cwd } from 'node:process';
import { setEnvironment } from '#configs/environment';
import { messageOf } from '#kernel/errors';
import { UsageError } from './usage_error.ts';

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'it is not a folder',
  EACCES: 'permission denied',
};

/**
 * Continues as if the process was started in `folder`: paths of the command line are relative to it, and its project is used instead of HEADWATER_PROJECT's,
 * also by processes that this one starts. Without a folder nothing changes.
 *
 * @throws {@link UsageError} for a folder that does not exist or cannot be entered
 */
export function enterProject(folder: string | undefined): void {
  if (folder === undefined) return;
  try {
    chdir(folder);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new UsageError(`--project "${folder}": ${PROBLEMS[code] ?? messageOf(error)}`);
  }
  setEnvironment('HEADWATER_PROJECT', cwd());
}
