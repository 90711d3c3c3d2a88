import { messageOf } from '#kernel/errors';

const counts = { passed: 0, failed: 0 };

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Counts a check of a script, and prints it with what is wrong. */
export function record(what: string, passed: boolean, ...problems: readonly string[]): void {
  counts[passed ? 'passed' : 'failed'] += 1;
  say([`${passed ? 'ok    ' : 'FAILED'} ${what}`, ...problems].join('\n'));
}

/**
 * Runs one check of a script and records its result.
 *
 * @param refuses - it has to fail, with this in its message
 */
export async function check(what: string, work: () => Promise<unknown>, refuses?: RegExp): Promise<void> {
  let problem: string | undefined;
  try {
    await work();
    if (refuses !== undefined) problem = `was accepted, and should be refused with ${refuses}`;
  } catch (error) {
    const message = messageOf(error);
    if (refuses === undefined || !refuses.test(message)) problem = message;
  }
  if (problem === undefined) record(what, true);
  else record(what, false, problem);
}

/** Prints how many checks passed and failed, and what was measured; the exit code is 1 where one failed. */
export function endChecks(measured?: string): void {
  say([`${counts.passed} passed, ${counts.failed} failed`, ...(measured === undefined ? [] : [measured])].join('; '));
  process.exitCode = counts.failed > 0 ? 1 : 0;
}
