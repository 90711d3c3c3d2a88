import type { JsonValue } from '#kernel/json';
import type { ChoiceRule } from '../language/choice.ts';
import type { Catcher, Retrier } from '../language/retry.ts';

/** States and the first of them: a workflow, a branch of Parallel, the processor of Map. */
export interface StateMachine {
  readonly Comment?: string;
  readonly StartAt: string;
  readonly States: Readonly<Record<string, State>>;
}

/** A workflow as the Amazon States Language writes it, with JSONPath. */
export interface WorkflowDocument extends StateMachine {
  readonly Version?: string;
  readonly QueryLanguage?: 'JSONPath';
  readonly TimeoutSeconds?: number;
}

interface AnyState {
  readonly Comment?: string;
  readonly InputPath?: string | null;
  readonly OutputPath?: string | null;
  readonly Next?: string;
  readonly End?: true;
}
interface WithResult extends AnyState {
  readonly Parameters?: JsonValue;
  readonly ResultPath?: string | null;
}
interface Retried extends WithResult {
  readonly ResultSelector?: JsonValue;
  readonly Retry?: readonly Retrier[];
  readonly Catch?: readonly Catcher[];
}
export interface TaskState extends Retried {
  readonly Type: 'Task';
  /** `train@2`, or `approval.waitForTaskToken`. */
  readonly Resource: string;
  readonly TimeoutSeconds?: number;
  readonly TimeoutSecondsPath?: string;
  readonly HeartbeatSeconds?: number;
  readonly HeartbeatSecondsPath?: string;
}
export interface PassState extends WithResult {
  readonly Type: 'Pass';
  readonly Result?: JsonValue;
}
export interface ChoiceState extends AnyState {
  readonly Type: 'Choice';
  readonly Choices: readonly ChoiceRule[];
  readonly Default?: string;
}
export interface WaitState extends AnyState {
  readonly Type: 'Wait';
  readonly Seconds?: number;
  readonly SecondsPath?: string;
  readonly Timestamp?: string;
  readonly TimestampPath?: string;
}
export interface SucceedState extends AnyState {
  readonly Type: 'Succeed';
}
export interface FailState extends AnyState {
  readonly Type: 'Fail';
  readonly Error?: string;
  readonly ErrorPath?: string;
  readonly Cause?: string;
  readonly CausePath?: string;
}
export interface ParallelState extends Retried {
  readonly Type: 'Parallel';
  readonly Branches: readonly StateMachine[];
}
export interface MapState extends Retried {
  readonly Type: 'Map';
  readonly ItemsPath?: string;
  readonly ItemProcessor?: StateMachine;
  /** The older name of ItemProcessor. */
  readonly Iterator?: StateMachine;
  readonly ItemSelector?: JsonValue;
  readonly MaxConcurrency?: number;
  readonly MaxConcurrencyPath?: string;
  readonly ToleratedFailureCount?: number;
  readonly ToleratedFailurePercentage?: number;
}
export type State =
  | TaskState
  | PassState
  | ChoiceState
  | WaitState
  | SucceedState
  | FailState
  | ParallelState
  | MapState;

/** Where a machine is within its document: `['Fan', 1]` is branch 1 of the state Fan. */
export type MachinePointer = readonly (string | number)[];

/** Returns the machine at a pointer; the document itself for an empty one. */
export function machineAt(document: WorkflowDocument, pointer: MachinePointer): StateMachine {
  let machine: StateMachine = document;
  for (let at = 0; at < pointer.length; at += 2) {
    const state = machine.States[pointer[at] as string] as ParallelState | MapState;
    machine = (
      state.Type === 'Parallel' ? state.Branches[pointer[at + 1] as number] : processorOf(state)
    ) as StateMachine;
  }
  return machine;
}

export const processorOf = (state: MapState): StateMachine => (state.ItemProcessor ?? state.Iterator) as StateMachine;

/** Returns a machine and those of its branches and items, at any depth. */
export function* machinesOf(machine: StateMachine): Generator<StateMachine> {
  yield machine;
  for (const state of Object.values(machine.States)) {
    if (state.Type === 'Parallel') for (const branch of state.Branches) yield* machinesOf(branch);
    else if (state.Type === 'Map') yield* machinesOf(processorOf(state));
  }
}

const TOKEN = '.waitForTaskToken';

/** Returns the task that a resource names, and whether its state waits for an answer with a token. */
export const taskOf = (resource: string): { readonly task: string; readonly waitsForToken: boolean } =>
  resource.endsWith(TOKEN)
    ? { task: resource.slice(0, -TOKEN.length), waitsForToken: true }
    : { task: resource, waitsForToken: false };
