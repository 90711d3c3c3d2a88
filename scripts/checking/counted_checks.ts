import { messageOf } from '#kernel/errors';

const counts = { passed: 0, failed: 0 };

/**
 * Runs one check of a script and prints its result.
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
  counts[problem === undefined ? 'passed' : 'failed'] += 1;
  process.stdout.write(problem === undefined ? `ok     ${what}\n` : `FAILED ${what}\n${problem}\n`);
}

/** Prints how many checks passed and failed; the exit code is 1 where one failed. */
export function endChecks(): void {
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
  process.exitCode = counts.failed > 0 ? 1 : 0;
}
