import { setImmediate } from 'node:timers/promises';

/** Lets the event loop turn so many times. */
export async function turns(count = 1): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await setImmediate();
}

/** Returns whether a condition came to hold within so many turns of the event loop. */
export async function holdsWithin(most: number, isSo: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let turn = 0; turn < most; turn += 1) {
    if (await isSo()) return true;
    await setImmediate();
  }
  return false;
}

/** Waits for a condition, turn by turn; the test's own timeout ends it. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await setImmediate();
}
