import { expect, test as onAnyNode } from '@jest/globals';
import type * as Beam from 'apache-beam';
import type * as Combiners from 'apache-beam/transforms/combiners';
import type * as Utils from 'apache-beam/transforms/utils';
import { createHeadwaterRunner } from '#pipelines/compat/apache_beam';
import { beamUnavailable } from '#pipelines/compat/errors';

// Pipelines of apache-beam's own API, as its users write them: nothing in them is ours but the runner. Where the SDK does not load, that is said.

const loadsHere = Number(process.versions.node.split('.')[0]) < 24;
const [beam, combiners, { reshuffle }] = loadsHere
  ? await Promise.all([
      import('apache-beam'),
      import('apache-beam/transforms/combiners'),
      import('apache-beam/transforms/utils'),
    ])
  : ([{}, {}, {}] as unknown as readonly [typeof Beam, typeof Combiners, typeof Utils]);
const test = loadsHere ? onAnyNode : onAnyNode.skip;

(loadsHere ? onAnyNode.skip : onAnyNode)(
  'a Node on which the SDK does not load is named, also where a pipeline imports it',
  async () => {
    expect(() => createHeadwaterRunner()).toThrow(
      /apache-beam does not load on Node 2\d.*: run the pipeline on Node 20 or 22/,
    );
    const problem = await import('apache-beam').then(() => undefined, beamUnavailable);
    expect(problem?.code).toBe('PIPELINE_BEAM_UNAVAILABLE');
  },
);

/** Runs a pipeline and returns what reached its end. */
async function collected<T>(build: (root: Beam.Root) => Beam.PCollection<T>): Promise<T[]> {
  const out: T[] = [];
  await createHeadwaterRunner().run((root) =>
    build(root).map((value) => {
      out.push(value);
      return value;
    }),
  );
  return out;
}

test('map and flatMap keep what their functions capture', async () => {
  const suffix = '!';
  const words = await collected((root) =>
    root
      .apply(beam.create(['to be', 'or not']))
      .flatMap((line: string) => line.split(' '))
      .map((word: string) => word.toUpperCase() + suffix),
  );
  expect(words.sort()).toEqual(['BE!', 'NOT!', 'OR!', 'TO!']);
});

test('word count: grouping, counting, and names given with withName', async () => {
  const counts = await collected((root) =>
    root
      .apply(beam.withName('Lines', beam.create(['a b', 'b c b'])))
      .flatMap(beam.withName('Split', (line: string) => line.split(' ')))
      .apply(beam.countPerElement()),
  );
  expect(counts.map((row) => Object.values(row as object).join(' ')).sort()).toEqual(['a 1', 'b 3', 'c 1']);
});

test('groupBy with several combiners of a field', async () => {
  const recipes = [
    { recipe: 'pie', fruit: 'raspberry', quantity: 1, unitPrice: 3.5 },
    { recipe: 'pie', fruit: 'blackberry', quantity: 1, unitPrice: 4 },
    { recipe: 'muffin', fruit: 'blueberry', quantity: 2, unitPrice: 2 },
  ];
  const totals = await collected((root) =>
    root.apply(beam.create(recipes)).apply(
      beam
        .groupBy('recipe')
        .combining('quantity', combiners.sum, 'quantity')
        .combining((row: unknown) => (row as { unitPrice: number }).unitPrice, combiners.mean, 'meanPrice')
        .combining('unitPrice', combiners.max, 'highest'),
    ),
  );
  expect((totals as { recipe: string }[]).sort((a, b) => (a.recipe < b.recipe ? -1 : 1))).toEqual([
    { recipe: 'muffin', quantity: 2, meanPrice: 2, highest: 2 },
    { recipe: 'pie', quantity: 2, meanPrice: 3.75, highest: 4 },
  ]);
});

interface WindowContext {
  readonly window: ReturnType<typeof beam.windowParam>;
}

interface SizeContext {
  readonly bound: Beam.SideInputParam<number, number, number>;
  readonly seen: Beam.Counter;
}

test('windows, timestamps and their parameters', async () => {
  const found = await collected((root) =>
    root
      .apply(beam.create([1, 2, 61, 62, 121].map((second) => ({ second }))))
      .apply(beam.assignTimestamps(({ second }: { second: number }) => beamInstant(second * 1_000)))
      .apply(beam.windowInto(beam.fixedWindows(60)))
      .apply(beam.groupBy(() => 'all'))
      .map(
        beam.withName('Window', ({ value }: { value: Iterable<{ second: number }> }, context: WindowContext) => ({
          from: (context.window.lookup() as Beam.IntervalWindow).start.toNumber(),
          seconds: [...value].map(({ second }) => second).sort((a, b) => a - b),
        })),
        { window: beam.windowParam() },
      ),
  );
  expect((found as { from: number }[]).sort((a, b) => a.from - b.from)).toEqual([
    { from: 0, seconds: [1, 2] },
    { from: 60_000, seconds: [61, 62] },
    { from: 120_000, seconds: [121] },
  ]);
});

test('redistributed elements keep their times', async () => {
  const found = await collected((root) =>
    root
      .apply(beam.create([5]))
      .apply(beam.assignTimestamps((second: number) => beamInstant(second * 1_000)))
      .apply(reshuffle())
      .map(
        beam.withName('Time', (_: number, { time }: { time: ReturnType<typeof beam.timestampParam> }) =>
          time.lookup().toNumber(),
        ),
        { time: beam.timestampParam() },
      ),
  );
  expect(found).toEqual([5_000]);
});

test('side inputs, split outputs, flatten and counters', async () => {
  const out: number[] = [];
  const result = await createHeadwaterRunner().run((root) => {
    const limit = root.apply(beam.withName('Limit', beam.create([2])));
    const { small, large } = root
      .apply(beam.create([1, 2, 3, 4]))
      .map(
        beam.withName('BySize', (value: number, { bound, seen }: SizeContext) => {
          seen.increment();
          return value <= bound.lookup() ? { small: value } : { large: value * 10 };
        }),
        { bound: beam.singletonSideInput(limit), seen: beam.counter('seen') },
      )
      .apply(beam.split(['small', 'large']) as never) as unknown as Record<'small' | 'large', Beam.PCollection<number>>;
    return beam
      .P([small, large])
      .apply(beam.flatten())
      .map((value: number) => {
        out.push(value);
        return value;
      });
  });
  expect(out.sort((a, b) => a - b)).toEqual([1, 2, 30, 40]);
  expect(await result.counters()).toEqual({ seen: 4 });
});

test('a DoFn with bundles, of its own class', async () => {
  class Next implements Beam.DoFn<number, number> {
    *process(element: number): Iterable<number> {
      yield element + 1;
    }
  }
  expect((await collected((root) => root.apply(beam.create([1, 2])).apply(beam.parDo(new Next())))).sort()).toEqual([
    2, 3,
  ]);
});

test('what fails in a function is the error of the run', async () => {
  const failing = createHeadwaterRunner().run((root) =>
    root.apply(beam.create([1])).map(() => {
      throw new Error('no such price');
    }),
  );
  await expect(failing).rejects.toThrow(/no such price/);
});

test('a transform of another language is refused by name', async () => {
  const foreign = (input: Beam.PCollection<number>, pipeline: SdkPipeline, proto: { spec?: object }) => {
    proto.spec = { urn: 'beam:transform:of_java:v1', payload: new Uint8Array() };
    return pipeline.createPCollectionInternal(pipeline.context.getPCollectionCoderId(input));
  };
  const run = createHeadwaterRunner().run((root) =>
    root.apply(beam.create([1])).apply(beam.withName('Foreign', foreign as never)),
  );
  await expect(run).rejects.toThrow(/transform "Foreign" \(beam:transform:of_java:v1\).*other languages/);
});

/** The part of the SDK's pipeline that its primitives use. */
interface SdkPipeline {
  readonly context: { getPCollectionCoderId(collection: Beam.PCollection<number>): string };
  createPCollectionInternal(coderId: string): Beam.PCollection<number>;
}

test("the SDK's own runner still runs its pipelines beside ours", async () => {
  await collected((root) => root.apply(beam.create([1])));
  await beam
    .createRunner({ runner: 'direct' })
    .run((root) => root.apply(beam.create([1, 2])).map((value) => value + 1));
});

const beamInstant = (ms: number): Beam.Instant => ({ toNumber: () => ms }) as never;
