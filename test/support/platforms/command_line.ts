import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assetPath, projectRoot } from '#kernel/project_root';

export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const TIMEOUT_MS = 300_000;

/** What a command of `headwater` sees: its data below the folder that it is run in. */
export const commandEnvironment = (folder: string, env: Readonly<Record<string, string>> = {}) => ({
  ...process.env,
  ...{
    HEADWATER_PROJECT: projectRoot,
    NODE_OPTIONS: '',
    LOG_LEVEL: 'error',
    DATA_DIRECTORY: join(folder, 'data'),
    USER: 'ann',
  },
  ...env,
});

/** `headwater ARGS`, in a folder, as a process of its own. */
export async function runCommand(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  program = assetPath('dist/cli/headwater.js'),
): Promise<CommandOutcome> {
  const options = { env: commandEnvironment(folder, env), cwd: folder, timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 };
  const run = promisify(execFile)(process.execPath, [program, ...args], options);
  return run.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: CommandOutcome) => ({ code, stdout, stderr }),
  );
}
