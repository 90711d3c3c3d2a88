import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import { StringUtf8Coder } from '#pipelines/model/coders/standard_coders';
import { buildGraph, fingerprintOf, functionName } from '#pipelines/model/graph';
import { groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { collectionOf, create, keyBy, parDo, primitive, windowInto } from '#pipelines/model/transforms';
import { sessions } from '#pipelines/model/windows/windowing';
import { type EmbeddedOptions, runEmbedded } from '#pipelines/runner/embedded';

const run = (construct: (root: PipelineRoot) => void, options: EmbeddedOptions = {}): Promise<void> =>
  runEmbedded(createPipeline(construct), options).finished;

test('a failing DoFn is named, with the element cut short and the stack of what it threw', async () => {
  const failing = run((root) => {
    root.apply(create([{ text: 'x'.repeat(1_000) }])).apply(
      parDo(
        {
          process() {
            throw new TypeError('no such field');
          },
        },
        { name: 'Parse' },
      ),
    );
  });
  await expect(failing).rejects.toThrow(
    /transform "Parse" failed in process on element \{"text":"x{50,}… \(1011 characters\): no such field/,
  );
  const error = await failing.catch((caught: unknown) => caught as Error);
  expect((error as Error).cause).toMatchObject({
    name: 'TypeError',
    stack: expect.stringContaining('bad_pipelines.test'),
  });
});

test('strict mode refuses a DoFn that changes its input, and names it', async () => {
  const mutating = (root: PipelineRoot): void => {
    root.apply(create([{ n: 1 }])).apply(
      parDo<{ n: number }, number>(
        {
          process(element, context) {
            element.n += 1;
            context.output(element.n);
          },
        },
        { name: 'Increment' },
      ),
    );
  };
  await run(mutating);
  await expect(run(mutating, { strict: true })).rejects.toThrow(/transform "Increment" changed its input \{"n":1\}/);
});

test('strict mode refuses an element that its coder does not take', async () => {
  const wrong = run(
    (root) => {
      root
        .apply(create([1]))
        .apply(
          parDo(
            { process: (n, context) => context.output(n as never) },
            { name: 'ToText', coder: new StringUtf8Coder() },
          ),
        )
        .map((text) => text);
    },
    { strict: true },
  );
  await expect(wrong).rejects.toThrow(
    /an output of "ToText" cannot be encoded by its coder beam:coder:string_utf8:v1.*The element is 1/s,
  );
});

test('a transform that the engine does not know is named when the graph is compiled', () => {
  const unknown = primitive<PipelineRoot, PCollection<number>>('Mystery', (_, pipeline, proto) => {
    proto.spec = { urn: 'beam:transform:mystery:v1', payload: new Uint8Array() };
    return collectionOf<number>(pipeline, new StringUtf8Coder());
  });
  expect(() => createPipeline((root) => root.apply(unknown))).toThrow(
    /transform "Mystery" \(beam:transform:mystery:v1\) is not known to the embedded runner/,
  );
});

class Remember implements DoFn<KV<string, number>, number> {
  readonly seen = valueState<number>('seen');
  process({ value }: KV<string, number>, context: ProcessContext<number>): void {
    context.state(this.seen).write(value);
  }
}

test('state in merging windows is refused', () => {
  const merging = (): unknown =>
    createPipeline((root) => {
      root
        .apply(create([1]))
        .apply(windowInto({ windowFn: sessions(10) }))
        .apply(keyBy(() => 'k'))
        .apply(parDo(new Remember(), { name: 'Remember' }));
    });
  expect(merging).toThrow(/transform "Remember" has state or timers in merging windows \(sessions\(10000\)\)/);
});

test('a worker with another graph says so, naming both', () => {
  const one = buildGraph((root) => void root.apply(create([1])));
  const other = buildGraph(
    (root) =>
      void root
        .apply(create([1]))
        .apply(keyBy(() => 'k'))
        .apply(groupByKey()),
  );
  const payload = `Create/Values\n${fingerprintOf(one)}`;
  expect(functionName(one, payload)).toBe('Create/Values');
  expect(() => functionName(other, payload)).toThrow(
    `the job was submitted with graph ${fingerprintOf(one)}, and this worker has built graph ${fingerprintOf(other)}`,
  );
});

test('a snapshot restores into a graph that has more transforms than the one that wrote it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'added-'));
  try {
    const snapshots = { directory, intervalMs: 0 };
    const original = (root: PipelineRoot): PCollection<KV<string, number>> =>
      root.apply(create([1, 2])).apply(keyBy(() => 'k'));
    await run((root) => void original(root).apply(parDo(new Remember(), { name: 'Remember' })), { snapshots });
    await run(
      (root) => {
        const keyed = original(root);
        keyed.apply(parDo(new Remember(), { name: 'Remember' }));
        keyed.apply(parDo(new Remember(), { name: 'RememberToo' }));
      },
      { snapshots },
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
