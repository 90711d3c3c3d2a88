import { DeadlineExceededError } from './errors.ts';

/**
 * What `work` comes to, unless it takes longer.
 *
 * @param operation - for the message: what did not finish
 * @throws {@link DeadlineExceededError}; what `work` throws. The work itself is not stopped.
 */
export async function withinDeadline<T>(operation: string, timeoutMs: number, work: PromiseLike<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineExceededError(operation, timeoutMs)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
