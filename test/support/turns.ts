import { setImmediate } from 'node:timers/promises';

/** Lets the event loop turn so many times. */
export async function turns(count = 1): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await setImmediate();
}

/** Waits for a condition, turn by turn; the test's own timeout ends it. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await setImmediate();
}
