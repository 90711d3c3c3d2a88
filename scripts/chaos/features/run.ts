import { readFileSync, writeFileSync } from 'node:fs';
import { checkSequence } from './check_sequence.ts';
import { randomSequence, type Sequence, shrink } from './sequence.ts';

export interface FeatureChaosOptions {
  readonly seed: number;
  readonly sequences: number;
  /** Where progress is kept: a run that was stopped resumes with the same file. */
  readonly resume: string | undefined;
  /** Only this one: `--round 17`, or a sequence as JSON in a file (`--only FILE`). */
  readonly round: number | undefined;
  readonly only: string | undefined;
  readonly log?: (line: string) => void;
}

interface Progress {
  readonly seed: number;
  readonly done: number;
  readonly failed: readonly number[];
}

const LINE_EVERY = 500;

/** Checks random sequences of changes against the oracle; a failing one is shrunk and printed, to be run again with `--only FILE`. */
export async function chaosFeatures(options: FeatureChaosOptions): Promise<{ passed: number; failed: number }> {
  const log = options.log ?? ((line: string) => process.stdout.write(`${line}\n`));
  if (options.only !== undefined) {
    const problem = await checkSequence(JSON.parse(readFileSync(options.only, 'utf8')) as Sequence);
    if (problem !== undefined) log(problem);
    return { passed: problem === undefined ? 1 : 0, failed: problem === undefined ? 0 : 1 };
  }
  const saved = progressOf(options.resume);
  const seed = saved?.seed ?? options.seed;
  const failed = [...(saved?.failed ?? [])];
  const first = options.round ?? saved?.done ?? 0;
  const end = options.round === undefined ? options.sequences : options.round + 1;
  log(`seed ${seed} (--seed), sequences ${first} to ${end - 1}`);
  for (let round = first; round < end; round += 1) {
    const sequence = randomSequence(seedOf(seed, round));
    const problem = await problemOf(sequence);
    if (problem !== undefined) {
      failed.push(round);
      const smallest = await shrink(sequence, async (one) => (await problemOf(one)) !== undefined);
      log(`sequence ${round} (--seed ${seed} --round ${round}): ${problem}`);
      log(`  shrunk: ${await problemOf(smallest)}`);
      log(`  ${JSON.stringify(smallest)}`);
    }
    if (options.resume !== undefined && options.round === undefined && round % LINE_EVERY === LINE_EVERY - 1) {
      writeFileSync(options.resume, JSON.stringify({ seed, done: round + 1, failed } satisfies Progress));
    }
    if (round % LINE_EVERY === LINE_EVERY - 1) log(`${round + 1} of ${end}, ${failed.length} failed`);
  }
  return { passed: end - first - failed.length, failed: failed.length };
}

/** Rounds of neighbouring seeds have nothing in common. */
const seedOf = (seed: number, round: number): number => Math.imul(seed + 1, 0x9e3779b1) + Math.imul(round, 0x85ebca6b);

async function problemOf(sequence: Sequence): Promise<string | undefined> {
  try {
    return await checkSequence(sequence);
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

function progressOf(file: string | undefined): Progress | undefined {
  if (file === undefined) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Progress;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
