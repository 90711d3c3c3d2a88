import { rmSync } from 'node:fs';
import type { StateOptions } from '#pipelines/runner/state_options';
import { engineOutputs } from './engine_graph.ts';
import type { GraphSpec } from './random_graph.ts';
import { slowOutputs } from './slow_engine.ts';

/**
 * Runs a graph on the embedded runner and on the slow engine, and compares what each stage has put out.
 *
 * @param directory - for the snapshots of a graph that crashes; it is removed
 * @throws Error naming the first stage that differs, and how
 */
export async function checkGraph(spec: GraphSpec, directory: string, state?: StateOptions): Promise<void> {
  try {
    const actual = await engineOutputs(spec, directory, state);
    // What follows a snapshot is put out again after a crash, and is the same.
    const normal = (outputs: readonly string[]): string =>
      (spec.crashesAfter === undefined ? [...outputs] : [...new Set(outputs)]).sort().join('\n');
    for (const [index, expected] of slowOutputs(spec).entries()) {
      const [own, slow] = [normal(actual[index] ?? []), normal(expected)];
      if (own !== slow)
        throw new Error(`stage ${index} (${spec.stages[index]?.kind}) puts out\n${own}\nand should\n${slow}`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** State of which hardly a key stays in the heap, where it is on disk. */
export const smallState = (kind: StateOptions['kind']): StateOptions =>
  kind === 'heap' ? { kind } : { kind, cacheBytes: 1_000 };
