import type { JsonObject, JsonValue } from '#kernel/json';
import { SECOND_MS } from '#kernel/time';
import { parseRfc3339 } from '#kernel/times/rfc3339';
import {
  type FailState,
  type MapState,
  type ParallelState,
  type State,
  type StateMachine,
  type TaskState,
  taskOf,
  type WaitState,
} from '../document/document.ts';
import { ruleHolds } from '../language/choice.ts';
import { type Scope, valueAt, withValueAt } from '../language/paths.ts';
import { dynamicValue, filledTemplate } from '../language/payload_template.ts';
import { matchesError, nextRetry } from '../language/retry.ts';
import { runtimeError, StateError } from '../language/state_error.ts';
import type { Branch, Decision, Failure } from './decision.ts';

/** A state of a run, with what it reads. */
export interface Position {
  readonly machine: StateMachine;
  readonly state: string;
  /** As the state before has passed it, before InputPath. */
  readonly input: JsonValue;
  /** The context object. */
  readonly context: JsonObject;
  /** How often each of the state's retriers has been used since it was entered. */
  readonly retriesUsed: readonly number[];
}

/** The interpreter of the Amazon States Language, version 1.0 (states-language.net), with JSONPath: pure functions of a position. */

/** Returns what a state does when it is entered, or attempted again. */
export function enterState(position: Position): Decision {
  return orFailure(position, () => enter(stateOf(position), position));
}

/** Returns what follows a Wait state whose time has come. */
export function afterWait(position: Position): Decision {
  return orFailure(position, () => leave(stateOf(position), effectiveInput(position), position));
}

/** Returns what follows a Task, Parallel or Map state with its result. */
export function afterResult(position: Position, result: JsonValue): Decision {
  const state = stateOf(position) as TaskState | ParallelState | MapState;
  return orFailure(position, () => {
    const selected =
      state.ResultSelector === undefined
        ? result
        : filledTemplate(state.ResultSelector, { input: result, context: position.context });
    return leave(state, combined(state.ResultPath, position.input, selected), position);
  });
}

/** Returns what follows a failure: a retry, the state of a catcher, or the end of the machine. */
export function afterFailure(position: Position, failure: Failure): Decision {
  const { Retry: retriers, Catch: catchers } = stateOf(position) as Partial<TaskState>;
  const retry = nextRetry(retriers, failure.error, position.retriesUsed);
  if (retry !== undefined) return { kind: 'retry', ...retry, failure };
  const catcher = catchers?.find(({ ErrorEquals }) => matchesError(ErrorEquals, failure.error));
  if (catcher === undefined) return { kind: 'fail', failure };
  try {
    const output = { Error: failure.error, Cause: failure.cause };
    const input = combined(catcher.ResultPath, position.input, output);
    return { kind: 'next', state: catcher.Next, input, caught: failure };
  } catch (error) {
    return { kind: 'fail', failure: failureOf(error) };
  }
}

function orFailure(position: Position, decide: () => Decision): Decision {
  try {
    return decide();
  } catch (error) {
    return afterFailure(position, failureOf(error));
  }
}

const failureOf = (error: unknown): Failure =>
  error instanceof StateError
    ? { error: error.error, cause: error.message }
    : { error: 'States.Runtime', cause: (error as Error).message };

function stateOf({ machine, state }: Position): State {
  const found = Object.hasOwn(machine.States, state) ? machine.States[state] : undefined;
  if (found === undefined) throw runtimeError(`there is no state "${state}"`);
  return found;
}

const scopeOf = (input: JsonValue, { context }: Position): Scope => ({ input, context });

function enter(state: State, position: Position): Decision {
  const input = effectiveInput(position);
  const scope = scopeOf(input, position);
  switch (state.Type) {
    case 'Task':
      return {
        kind: 'task',
        ...taskOf(state.Resource),
        input: filled(state.Parameters, scope),
        ...limitsOf(state, scope),
      };
    case 'Pass': {
      const parameters = filled(state.Parameters, scope);
      const result = state.Result === undefined ? parameters : state.Result;
      return leave(state, combined(state.ResultPath, position.input, result), position);
    }
    case 'Choice': {
      const rule = state.Choices.find((each) => ruleHolds(each, scope));
      const next = rule === undefined ? state.Default : rule.Next;
      if (next === undefined) {
        throw new StateError('States.NoChoiceMatched', `no rule of "${position.state}" holds and it has no Default`);
      }
      return { kind: 'next', state: next, input: outputOf(state.OutputPath, input, position) };
    }
    case 'Wait':
      return waitOf(state, scope);
    case 'Succeed':
      return { kind: 'succeed', output: outputOf(state.OutputPath, input, position) };
    case 'Fail':
      return { kind: 'fail', failure: failureOfState(state, scope) };
    case 'Parallel': {
      const given = filled(state.Parameters, scope);
      const branches = state.Branches.map((_, index): Branch => ({ pointer: [position.state, index], input: given }));
      return fork(branches, 0, position);
    }
    case 'Map':
      return fork(itemsOf(state, scope, position), maxConcurrencyOf(state, scope), position);
  }
}

/** Without branches the state ends at once. */
const fork = (branches: readonly Branch[], maxConcurrency: number, position: Position): Decision =>
  branches.length === 0 ? afterResult(position, []) : { kind: 'fork', branches, maxConcurrency };

const filled = (template: JsonValue | undefined, scope: Scope): JsonValue =>
  template === undefined ? scope.input : filledTemplate(template, scope);

function effectiveInput(position: Position): JsonValue {
  const { InputPath: path } = stateOf(position) as { readonly InputPath?: string | null };
  if (path === undefined) return position.input;
  return path === null ? {} : valueAt(path, scopeOf(position.input, position));
}

function outputOf(path: string | null | undefined, value: JsonValue, position: Position): JsonValue {
  if (path === undefined) return value;
  return path === null ? {} : valueAt(path, scopeOf(value, position));
}

/** Combines a result with the state's input, before InputPath, as ResultPath says. */
function combined(path: string | null | undefined, input: JsonValue, result: JsonValue): JsonValue {
  if (path === undefined) return result;
  return path === null ? input : withValueAt(path, input, result);
}

function leave(state: State, value: JsonValue, position: Position): Decision {
  const { OutputPath, Next } = state as { readonly OutputPath?: string | null; readonly Next?: string };
  const output = outputOf(OutputPath, value, position);
  return Next === undefined ? { kind: 'succeed', output } : { kind: 'next', state: Next, input: output };
}

/** Seconds of a field, or at its path; undefined where the state has neither. */
function secondsOf(
  seconds: number | undefined,
  path: string | undefined,
  name: string,
  scope: Scope,
): number | undefined {
  if (path === undefined) return seconds;
  const value = valueAt(path, scope);
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw runtimeError(`${name} '${path}' is ${JSON.stringify(value)}; it must be a non-negative integer`);
}

/** A task with a heartbeat and no timeout of its own. */
function limitsOf(state: TaskState, scope: Scope): { timeoutMs: number | undefined; heartbeatMs: number | undefined } {
  const timeout = secondsOf(state.TimeoutSeconds, state.TimeoutSecondsPath, 'TimeoutSecondsPath', scope);
  const heartbeat = secondsOf(state.HeartbeatSeconds, state.HeartbeatSecondsPath, 'HeartbeatSecondsPath', scope);
  return {
    timeoutMs: timeout === undefined ? undefined : timeout * SECOND_MS,
    heartbeatMs: heartbeat === undefined ? undefined : heartbeat * SECOND_MS,
  };
}

function waitOf(state: WaitState, scope: Scope): Decision {
  const seconds = secondsOf(state.Seconds, state.SecondsPath, 'SecondsPath', scope);
  if (seconds !== undefined) return { kind: 'wait', forMs: seconds * SECOND_MS };
  const text = state.TimestampPath === undefined ? state.Timestamp : valueAt(state.TimestampPath, scope);
  const untilMs = typeof text === 'string' ? parseRfc3339(text) : undefined;
  if (untilMs === undefined) throw runtimeError(`the timestamp ${JSON.stringify(text)} is not a time of RFC 3339`);
  return { kind: 'wait_until', untilMs };
}

function failureOfState(state: FailState, scope: Scope): Failure {
  const read = (name: string, fixed: string | undefined, path: string | undefined): string => {
    if (path === undefined) return fixed ?? '';
    const value = dynamicValue(path, scope);
    if (typeof value === 'string') return value;
    throw runtimeError(`${name} '${path}' is ${JSON.stringify(value)}; it must be a string`);
  };
  return {
    error: read('ErrorPath', state.Error, state.ErrorPath),
    cause: read('CausePath', state.Cause, state.CausePath),
  };
}

function itemsOf(state: MapState, scope: Scope, position: Position): readonly Branch[] {
  const items = state.ItemsPath === undefined ? scope.input : valueAt(state.ItemsPath, scope);
  if (!Array.isArray(items)) throw runtimeError(`a Map state needs an array of items, and got ${typeof items}`);
  const selector = state.ItemSelector ?? state.Parameters;
  return items.map((value: JsonValue, index): Branch => {
    const item = { Index: index, Value: value };
    const context = { ...position.context, Map: { Item: item } };
    const input = selector === undefined ? value : filledTemplate(selector, { input: scope.input, context });
    return { pointer: [position.state, 0], input, item };
  });
}

function maxConcurrencyOf(state: MapState, scope: Scope): number {
  if (state.MaxConcurrencyPath === undefined) return state.MaxConcurrency ?? 0;
  return secondsOf(undefined, state.MaxConcurrencyPath, 'MaxConcurrencyPath', scope) as number;
}
