import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { environment } from '#configs/environment';
import { assetPath } from '#kernel/project_root';
import { type TaskContext, type TaskDefinition, TaskError, task } from '#workflows/tasks/task';
import { projectFolder } from '../project/loading/find_project.ts';

/** What a command has printed on standard output. */
export interface CommandOutput {
  /** The newest lines, 50 at most. */
  readonly lines: readonly string[];
}

const MOST_LINES = 50;
/** What the line begins with in which a command says why it has failed. */
const REASON = 'headwater: ';
const KILL_AFTER_MS = 5_000;

/**
 * Declares a task that runs a command of headwater on the project: `commandTask('check', () => ['features', 'check'])`. What it prints is the step's log. A step that is
 * cancelled or late ends it with SIGTERM and, after 5 s, SIGKILL.
 *
 * @param id - name of the task, with or without a version
 * @param args - the command and its options, of the step's input
 * @returns a task that fails with `Command.Failed` where the exit code is not 0
 */
export const commandTask = <Input>(
  id: string,
  args: (input: Input, context: TaskContext) => readonly string[],
): TaskDefinition<Input, CommandOutput> =>
  task(id, (input: Input, context) => runAsTask(args(input, context), context));

/** Runs a command of headwater on the project for a step. @throws {@link TaskError} `Command.Failed` where the exit code is not 0 */
export async function runAsTask(
  args: readonly string[],
  { log, signal }: Pick<TaskContext, 'log' | 'signal'>,
): Promise<CommandOutput> {
  signal.throwIfAborted();
  const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...environment(), HEADWATER_PROJECT: projectFolder() },
  });
  const lines: string[] = [];
  const errors: string[] = [];
  for (const [stream, kept] of [
    [child.stdout, lines],
    [child.stderr, errors],
  ] as const) {
    createInterface({ input: stream }).on('line', (line) => {
      log(line);
      kept.push(line);
      if (kept.length > MOST_LINES) kept.shift();
    });
  }
  const end = (): void => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref();
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal.throwIfAborted();
    if (code === 0) return { lines };
    const reason = errors.findLast((line) => line.startsWith(REASON)) ?? errors.at(-1) ?? lines.at(-1) ?? 'no output';
    throw new TaskError('Command.Failed', `headwater ${args.join(' ')}: exit code ${code}: ${reason}`);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
