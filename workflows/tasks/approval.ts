import type { JsonValue } from '#kernel/json';
import { type TaskDefinition, task } from './task.ts';

/** The task of states that only wait for an answer: `approval.waitForTaskToken`. */
export const APPROVAL: TaskDefinition = task('approval@1', () => null) as unknown as TaskDefinition;

/** Returns the answer to a state that waits for approval: its output, or the error that it fails with. */
export const approvalAnswer = ({
  by,
  reason,
  reject,
}: {
  readonly by: string;
  readonly reason: string;
  readonly reject: boolean;
}): { readonly output: JsonValue } | { readonly error: string; readonly cause: string } =>
  reject ? { error: 'Approval.Rejected', cause: `${by}: ${reason}` } : { output: { approved: true, by, reason } };
