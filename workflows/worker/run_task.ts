import { messageOf, PlatformError } from '#kernel/errors';
import type { JsonValue } from '#kernel/json';
import { hideSecrets, holdsSecret } from '#kernel/secrets';
import { storable, unstorableTextIn } from '#kernel/text/unstorable_text';
import type { Failure } from '../interpreter/decision.ts';
import { type GivenToTask, STEP_ENDED, type TaskContext, type TaskDefinition, type TaskResult } from '../tasks/task.ts';
import { effectsOf } from '../tasks/task_effects.ts';
import { readersOf } from '../tasks/task_values.ts';

/** Runs a task in a process of its own. */
export type RunInProcess = (task: TaskDefinition, input: JsonValue, given: GivenToTask) => Promise<TaskResult>;

export interface TaskLimits {
  readonly timeoutMs: number | undefined;
  readonly heartbeatMs: number | undefined;
  readonly onHeartbeat?: () => void;
}

/** Larger results belong in a file or a table, and their place in the result. */
const MOST_OUTPUT_CHARS = 1_048_576;
const MOST_CAUSE_CHARS = 4_000;
/** Node's timers take no longer delays. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Runs a task within its time limits. @returns its result, or why it failed; aborts of `signal` fail it too */
export async function runTask(
  task: TaskDefinition,
  input: JsonValue,
  given: Omit<GivenToTask, 'signal' | 'heartbeat' | 'timeoutMs'>,
  { timeoutMs, heartbeatMs, onHeartbeat }: TaskLimits,
  signal: AbortSignal,
  runInProcess: RunInProcess,
): Promise<TaskResult | Failure> {
  const ended = new AbortController();
  const within = AbortSignal.any([signal, ended.signal]);
  const timers: NodeJS.Timeout[] = [];
  const timedOut = new Promise<Failure>((resolve) => {
    const failAfter = (ms: number, failure: Failure): NodeJS.Timeout =>
      setTimeout(() => resolve(failure), Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
    if (timeoutMs !== undefined) {
      timers.push(failAfter(timeoutMs, { error: 'States.Timeout', cause: `task ${task.id} has not ended in time` }));
    }
    if (heartbeatMs !== undefined) {
      const cause = `task ${task.id} has sent no heartbeat for ${heartbeatMs / 1_000} s`;
      timers.push(failAfter(heartbeatMs, { error: 'States.HeartbeatTimeout', cause }));
    }
    signal.addEventListener('abort', () => resolve({ error: 'Workflow.Aborted', cause: 'the step was cancelled' }), {
      ...{ once: true, signal: ended.signal },
    });
  });
  const heartbeat = (): void => {
    if (heartbeatMs !== undefined) timers.at(-1)?.refresh();
    onHeartbeat?.();
  };
  try {
    const context = { ...given, signal: within, heartbeat, timeoutMs };
    const work = task.isProcess ? runInProcess(task, input, context) : runHere(task, input, context);
    return await Promise.race([work.then(checked, failureOf), timedOut]);
  } finally {
    for (const timer of timers) clearTimeout(timer);
    ended.abort(STEP_ENDED);
  }
}

/** Runs a task in this process. */
export async function runHere(
  task: TaskDefinition,
  input: JsonValue,
  { values, path: _path, timeoutMs: _timeoutMs, ...given }: GivenToTask,
): Promise<TaskResult> {
  const { effects, written, ...recorders } = effectsOf(given.run);
  const context: TaskContext = { ...given, ...readersOf(values), ...recorders };
  const output = await (task.run as (input: unknown, context: TaskContext) => unknown)(input, context);
  return { output: output as JsonValue, effects, written };
}

/** As the database stores it: what JSON cannot say is left out. */
function checked({ output, effects, written }: TaskResult): TaskResult | Failure {
  const json = JSON.stringify(output ?? null);
  if (json === undefined)
    return { error: 'Workflow.InvalidOutput', cause: `the result is a ${typeof output}, which JSON does not have` };
  if (json.length > MOST_OUTPUT_CHARS) {
    return {
      error: 'States.DataLimitExceeded',
      cause: `the result has ${json.length} characters as JSON; at most ${MOST_OUTPUT_CHARS}. Return the place of large data`,
    };
  }
  if (holdsSecret(json)) {
    const cause =
      'the result holds a credential of the settings, which the history would show; return its place or name';
    return { error: 'Workflow.SecretInOutput', cause };
  }
  const value = JSON.parse(json) as JsonValue;
  const problem = unstorableTextIn(value);
  if (problem === undefined) return { output: value, effects, written };
  const place = problem.path === '' ? 'the result' : `the result's ${problem.path}`;
  return { error: 'Workflow.InvalidOutput', cause: `${place} ${problem.problem}` };
}

/** Returns a failure as Retry and Catch match it: the name of a TaskError, the code of an error of the platform, or the class of another. */
export function failureOf(error: unknown): Failure {
  const { error: named, name } = (error ?? {}) as { readonly error?: unknown; readonly name?: unknown };
  const cause = hideSecrets(storable(messageOf(error))).slice(0, MOST_CAUSE_CHARS);
  if (name === 'TaskError' && typeof named === 'string') return { error: storable(named), cause };
  if (error instanceof PlatformError) return { error: error.code, cause };
  return { error: error instanceof Error || typeof name === 'string' ? storable(String(name)) : 'Error', cause };
}
