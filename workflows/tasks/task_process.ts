import { type ChildProcess, fork } from 'node:child_process';
import type { JsonValue } from '#kernel/json';
import { whenParentIsGone } from '#kernel/workers/parent_process';
import { lineReader } from './lines.ts';
import { type GivenToTask, type TaskContext, type TaskDefinition, TaskError, type TaskResult } from './task.ts';
import { effectsOf } from './task_effects.ts';
import type { TaskRegistry } from './task_registry.ts';
import { readersOf } from './task_values.ts';

type Given = Omit<GivenToTask, 'signal' | 'heartbeat' | 'log'>;

/** What a process is asked to do. */
interface Order {
  readonly task: string;
  readonly input: JsonValue;
  readonly given: Given;
}

type Message =
  | { readonly kind: 'ready' }
  | { readonly kind: 'heartbeat' }
  | { readonly kind: 'log'; readonly line: string }
  | ({ readonly kind: 'result' } & TaskResult)
  | { readonly kind: 'failure'; readonly error: string; readonly cause: string };

/** How long a task has to end after SIGTERM. */
const GRACE_MS = 5_000;

/**
 * Returns a function that runs tasks in processes of their own. What they print is written to the run's log; an abort ends the process with SIGTERM, and
 * with SIGKILL after 5 s. A process ends with the worker that has started it.
 *
 * @param entry - a module that calls {@link serveTasks}
 */
export const processRunner =
  (entry: URL, execArgv: readonly string[] = []) =>
  async (task: TaskDefinition, input: JsonValue, given: GivenToTask): Promise<TaskResult> => {
    const { signal, heartbeat, log, ...rest } = given;
    const child = fork(entry, [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
      execArgv: [...execArgv],
    });
    child.stdout?.on('data', lineReader(log));
    child.stderr?.on('data', lineReader(log));
    const kill = (): void => endProcess(child);
    if (signal.aborted) kill();
    else signal.addEventListener('abort', kill, { once: true });
    try {
      return await new Promise<TaskResult>((resolve, reject) => {
        child.on('error', reject);
        child.on('message', (message: Message) => {
          if (message.kind === 'ready') child.send({ task: task.id, input, given: rest } satisfies Order);
          else if (message.kind === 'heartbeat') heartbeat();
          else if (message.kind === 'log') log(message.line);
          else if (message.kind === 'result') {
            const { output, effects, written } = message;
            resolve({ output, effects, written });
          } else reject(new TaskError(message.error, message.cause));
        });
        child.on('close', (code, killedBy) => {
          const how = killedBy === null ? `with code ${code}` : `by ${killedBy}`;
          reject(
            new TaskError(
              'Workflow.ProcessEnded',
              `the process of task ${task.id} ended ${how} before it had a result`,
            ),
          );
        });
      });
    } finally {
      signal.removeEventListener('abort', kill);
      kill();
    }
  };

function endProcess(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
  timer.unref();
  child.once('exit', () => clearTimeout(timer));
}

/**
 * Runs one task of this process, as the worker that has started it orders, and ends.
 *
 * @param failureOf - the name and cause of an error
 */
export function serveTasks(
  tasks: TaskRegistry,
  failureOf: (error: unknown) => { readonly error: string; readonly cause: string },
): void {
  const send = (message: Message): Promise<void> => new Promise((resolve) => process.send?.(message, () => resolve()));
  const aborted = new AbortController();
  // Without its worker it does nothing that counts.
  whenParentIsGone(() => process.exit(1));
  process.on('SIGTERM', () => {
    aborted.abort();
    setTimeout(() => process.exit(1), GRACE_MS / 2).unref();
  });
  process.once('message', ({ task, input, given: { values, path: _path, timeoutMs: _timeoutMs, ...given } }: Order) => {
    const { effects, written, ...recorders } = effectsOf(given.run);
    const context: TaskContext = {
      ...{ ...given, ...readersOf(values), ...recorders },
      signal: aborted.signal,
      heartbeat: () => void send({ kind: 'heartbeat' }),
      log: (line) => void send({ kind: 'log', line }),
    };
    const run = tasks.resolve(task).run as (input: unknown, context: TaskContext) => unknown;
    Promise.resolve()
      .then(() => run(input, context))
      .then(
        (output) => {
          const json = JSON.parse(JSON.stringify(output ?? null)) as JsonValue;
          return send({ kind: 'result', output: json, effects, written });
        },
        (error: unknown) => send({ kind: 'failure', ...failureOf(error) }),
      )
      .catch((error: unknown) => send({ kind: 'failure', ...failureOf(error) }))
      .finally(() => process.exit(0));
  });
  void send({ kind: 'ready' });
}
