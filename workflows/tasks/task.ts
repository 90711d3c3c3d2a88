import type { SqlStatement } from '#feature_store/database/sql_executor';
import type { JsonValue } from '#kernel/json';
import { WorkflowDefinitionError } from '../errors.ts';

/** A value of the settings of workflows. */
export type VariableValue = string | number | boolean;
/** How another system is reached: an address, a user, a password. */
export type Connection = Readonly<Record<string, string | number | boolean>>;

/** Variables and connections of the settings, for tasks. */
export interface TaskValues {
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly connections: Readonly<Record<string, Connection>>;
}
/** What a task is given besides its input. */
export interface TaskContext {
  /** Aborts when the run is cancelled, the time is up, or another worker has taken the step over. */
  readonly signal: AbortSignal;
  readonly run: string;
  readonly workflow: string;
  readonly state: string;
  /** From 1; grows with each retry, not when a worker is lost. */
  readonly attempt: number;
  /**
   * `run:state:attempt`, the same when the attempt is repeated after a crash. Send it with calls to other systems (the header `Idempotency-Key`), so that
   * they do the work once.
   */
  readonly idempotencyKey: string;
  /** The token that an answer needs, of a state with `.waitForTaskToken`. */
  readonly token: string | undefined;
  /** Returns a variable of `workflows.variables`. @throws {@link TaskError} `Workflow.VariableMissing` */
  variable(name: string): VariableValue;
  /** Returns a connection of `workflows.connections`; its credentials are kept out of logs and results. @throws {@link TaskError} `Workflow.ConnectionMissing` */
  connection(name: string): Connection;
  /** Says that the task is alive, for HeartbeatSeconds. */
  heartbeat(): void;
  /** Writes a line to the run's log. */
  log(line: string): void;
  /** Adds a statement that runs in the transaction that records the result of the task: it takes effect once, or not at all. */
  sql(text: string, parameters?: readonly unknown[]): void;
  /** Names a data set that the task has read, for the lineage of the run: `prices/2026-11-27`, with a version such as its hash. Kept with the result. */
  reads(name: string, version?: string | number): void;
  /**
   * Names a data set or model that the task has made.
   *
   * @param rows - how many it has written; `workflow_written_rows_total` counts them once the result is recorded
   */
  writes(name: string, version?: string | number, rows?: number): void;
}

/** What a worker gives a task; from it follows the context. */
export type GivenToTask = Omit<TaskContext, 'sql' | 'reads' | 'writes' | 'variable' | 'connection'> & {
  readonly values: TaskValues;
  /** Of the branch; empty for the run's own machine. */
  readonly path: string;
  /** Time that the attempt has left, ms. */
  readonly timeoutMs: number | undefined;
};

/** Why `signal` aborts when a step has ended, as opposed to a worker that stops or has lost it. */
export const STEP_ENDED = 'the step has ended';

export type TaskFunction<Input = never, Output = unknown> = (
  input: Input,
  context: TaskContext,
) => Output | Promise<Output>;

/** A task, by name and version. A change of what it does to its input or output is a new version beside the old one. */
export interface TaskDefinition<Input = never, Output = unknown> {
  readonly kind: 'task';
  readonly name: string;
  readonly version: number;
  /** `train@2`. */
  readonly id: string;
  /** Whether it runs in a process of its own: cancelled at once, its output kept as the run's log, its memory given back. */
  readonly isProcess: boolean;
  readonly run: TaskFunction<Input, Output>;
}

/** Fails a task with an error that Retry and Catch match by name. */
export class TaskError extends Error {
  readonly error: string;

  /** @param error - such as `Model.NotBetter`; names that begin with `States.` are the language's own */
  constructor(error: string, cause: string) {
    super(cause);
    this.name = 'TaskError';
    this.error = error;
  }
}

const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/;

/**
 * Declares a task: `task('train@2', async (input: { rows: number }) => …)`. Without a version it is version 1.
 *
 * @throws {@link WorkflowDefinitionError} for a name or version that is none
 */
export function task<Input, Output>(
  id: string,
  run: TaskFunction<Input, Output>,
  { process = false }: { readonly process?: boolean } = {},
): TaskDefinition<Input, Output> {
  const { name, version = 1 } = taskIdOf(id);
  if (!NAME.test(name)) {
    throw new WorkflowDefinitionError(
      `task "${id}": a name begins with a letter and has letters, digits, "_", ".", ":" and "-", 128 at most`,
    );
  }
  return Object.freeze({ kind: 'task', name, version, id: `${name}@${version}`, isProcess: process, run });
}

/** Splits `train@2`. */
export function taskIdOf(id: string): { readonly name: string; readonly version: number | undefined } {
  const match = /^(.*)@([1-9]\d{0,8})$/.exec(id);
  return match === null ? { name: id, version: undefined } : { name: match[1] as string, version: Number(match[2]) };
}

/** Whether a value of a project's module is a task. */
export const isTask = (value: unknown): value is TaskDefinition =>
  typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'task' && 'run' in value;

/** Rows of a data set that a task has written. */
export interface WrittenRows {
  readonly dataset: string;
  readonly rows: number;
}

/** A result with the statements that are committed with it, and what was written elsewhere. */
export interface TaskResult {
  readonly output: JsonValue;
  readonly effects: readonly SqlStatement[];
  readonly written: readonly WrittenRows[];
}
