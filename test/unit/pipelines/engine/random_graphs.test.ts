import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from '@jest/globals';
import fc from 'fast-check';
import { checkGraph, smallState } from '#pipelines/testing/graphs/check_graph';
import { randomGraph } from '#pipelines/testing/graphs/random_graph';

// Windows, triggers, timers, asynchronous DoFns and restarts, each graph against the slow engine. `npm run test:chaos -- graphs` runs 10,000.

const GRAPHS = [
  { state: 'heap', graphs: 300 },
  { state: 'disk', graphs: 100 },
] as const;

test.each(GRAPHS)(
  'what each stage of a random graph puts out is what the slow engine does, state: $state',
  async ({ state, graphs }) => {
    const directory = mkdtempSync(join(tmpdir(), 'graphs-'));
    let run = 0;
    try {
      await fc.assert(
        fc.asyncProperty(randomGraph, async (spec) => {
          run += 1;
          await checkGraph(spec, join(directory, String(run)), smallState(state));
        }),
        { numRuns: graphs },
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  300_000,
);
