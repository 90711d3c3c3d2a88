import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { messageOf } from '#kernel/errors';
import type { StateOptions } from '#pipelines/runner/state_options';
import { checkGraph, smallState } from '#pipelines/testing/graphs/check_graph';
import { randomGraph } from '#pipelines/testing/graphs/random_graph';

/** npm run test:chaos -- graphs [--seed N] [--sequences N] [--state heap|disk]: random graphs against the slow engine; the first that differs is printed, made small. */
export async function chaosGraphs(
  seed: number,
  graphs: number,
  kind: StateOptions['kind'],
): Promise<{ passed: number; failed: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'graphs-'));
  let run = 0;
  try {
    const property = fc.asyncProperty(randomGraph, async (spec) => {
      run += 1;
      if (run % 1_000 === 0) process.stdout.write(`${run} graphs\n`);
      await checkGraph(spec, join(directory, String(run)), smallState(kind));
    });
    await fc.assert(property, { numRuns: graphs, seed });
    return { passed: graphs, failed: 0 };
  } catch (error) {
    process.stdout.write(`seed ${seed}: ${messageOf(error)}\n`);
    return { passed: run, failed: 1 };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
