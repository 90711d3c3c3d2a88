import type { JsonObject, JsonValue } from '#kernel/json';
import { type MachinePointer, machineAt, type WorkflowDocument } from '#workflows/document/document';
import type { Decision, Failure } from '#workflows/interpreter/decision';
import { afterFailure, afterResult, afterWait, enterState, type Position } from '#workflows/interpreter/interpret';
import { outcomeOf } from './tasks.ts';

/** What a run must come to, when nothing goes wrong. */
export interface Expected {
  readonly status: 'succeeded' | 'failed';
  readonly output: JsonValue;
  readonly error: string | null;
  /** Idempotency keys of statements that take effect, each once. */
  readonly writes: readonly string[];
  /** Idempotency keys of calls to the outside. */
  readonly calls: readonly string[];
}

interface Ended {
  readonly output?: JsonValue;
  readonly failure?: Failure;
}

/** Runs a document in memory, one state after another: no database, no leases, no concurrency. */
export function expectedOf(id: string, document: WorkflowDocument, input: JsonValue): Expected {
  const writes: string[] = [];
  const calls: string[] = [];

  const run = (pointer: MachinePointer, path: string, given: JsonValue, item: JsonObject | undefined): Ended => {
    const machine = machineAt(document, pointer);
    let [state, at, step] = [machine.StartAt, given, 1];
    let retriesUsed: readonly number[] = [];
    const attempts: Record<string, number> = { [state]: 1 };
    const position = (): Position => ({
      ...{ machine, state, input: at, retriesUsed },
      context: {
        Execution: { Id: id, Input: input },
        State: { Name: state },
        ...(item === undefined ? {} : { Map: { Item: item } }),
      } as unknown as JsonObject,
    });
    let decision: Decision = enterState(position());
    for (;;) {
      switch (decision.kind) {
        case 'succeed':
          return { output: decision.output };
        case 'fail':
          return { failure: decision.failure };
        case 'next':
          [state, at] = [decision.state, decision.input];
          retriesUsed = [];
          step += 1;
          attempts[state] = (attempts[state] ?? 0) + 1;
          decision = enterState(position());
          break;
        case 'retry':
          retriesUsed = decision.used;
          attempts[state] = (attempts[state] as number) + 1;
          if (machine.States[state]?.Type !== 'Task') step += 1;
          decision = enterState(position());
          break;
        case 'wait':
        case 'wait_until':
          decision = afterWait(position());
          break;
        case 'task': {
          const attempt = attempts[state] as number;
          const key = `${id}:${path === '' ? '' : `${path}/`}${state}:${attempt}`;
          const outcome = outcomeOf(decision.task, attempt);
          if (outcome.calls) calls.push(key);
          if ('error' in outcome) {
            decision = afterFailure(position(), { error: outcome.error as string, cause: outcome.cause as string });
            break;
          }
          if (outcome.writes) writes.push(key);
          decision = afterResult(position(), outcome.output as JsonValue);
          break;
        }
        case 'fork': {
          const ended = decision.branches.map((branch, index) =>
            run(
              [...pointer, ...branch.pointer],
              `${path === '' ? '' : `${path}/`}${step}.${state}[${index}]`,
              branch.input,
              branch.item as JsonObject | undefined,
            ),
          );
          const failed = ended.find(({ failure }) => failure !== undefined);
          decision =
            failed?.failure === undefined
              ? afterResult(
                  position(),
                  ended.map(({ output }) => output as JsonValue),
                )
              : afterFailure(position(), failed.failure);
          break;
        }
      }
    }
  };

  const { output, failure } = run([], '', input, undefined);
  return {
    status: failure === undefined ? 'succeeded' : 'failed',
    output: output ?? null,
    error: failure?.error ?? null,
    writes,
    calls,
  };
}
