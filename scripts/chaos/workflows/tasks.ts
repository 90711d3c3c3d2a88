import type { JsonValue } from '#kernel/json';
import { type TaskContext, type TaskDefinition, TaskError, task } from '#workflows/tasks/task';

/** What a task does in its nth attempt. */
export interface TaskOutcome {
  readonly output?: JsonValue;
  readonly error?: string;
  readonly cause?: string;
  /** Whether it writes a row. */
  readonly writes: boolean;
  /** Whether it calls the outside. */
  readonly calls: boolean;
}

const FLAKY_FAILURES = 2;

/** The tasks depend on nothing but the attempt: the oracle knows what they do. */
export function outcomeOf(id: string, attempt: number): TaskOutcome {
  const name = id.split('@')[0];
  const failed = { error: name === 'broken' ? 'Broken' : 'Flaky', cause: `attempt ${attempt}` };
  if (name === 'broken') return { ...failed, writes: false, calls: true };
  if (name === 'flaky' && attempt <= FLAKY_FAILURES) return { ...failed, writes: false, calls: false };
  return { output: { did: name as string, attempt }, writes: name !== 'call', calls: name === 'call' };
}

/** Tasks that write rows in the transaction of their result, and call a server that records. */
export function chaosTasks(recorder: string): readonly TaskDefinition[] {
  const run =
    (id: string) =>
    async (_: unknown, context: TaskContext): Promise<JsonValue> => {
      const outcome = outcomeOf(id, context.attempt);
      if (outcome.calls) {
        const response = await fetch(recorder, {
          method: 'POST',
          headers: { 'idempotency-key': context.idempotencyKey },
        });
        await response.arrayBuffer();
      }
      // Also before a failure: then it must not take effect.
      context.sql('INSERT INTO chaos_effects (key, failed) VALUES ($1, $2)', [
        context.idempotencyKey,
        'error' in outcome,
      ]);
      if ('error' in outcome) throw new TaskError(outcome.error as string, outcome.cause as string);
      if (!outcome.writes) context.sql('DELETE FROM chaos_effects WHERE key = $1', [context.idempotencyKey]);
      return outcome.output as JsonValue;
    };
  return ['write@1', 'call@1', 'flaky@1', 'broken@1'].map((id) => task(id, run(id))) as readonly TaskDefinition[];
}
