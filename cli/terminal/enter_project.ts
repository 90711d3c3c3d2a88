import { chdir, cwd, env } from 'node:process';
import { messageOf } from '#kernel/errors';
import { UsageError } from './usage_error.ts';

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
    throw new UsageError(`--project "${folder}" is not a folder that can be entered: ${messageOf(error)}`);
  }
  env.HEADWATER_PROJECT = cwd();
}
