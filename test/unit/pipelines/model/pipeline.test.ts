import { expect, test } from '@jest/globals';
import type { OnTimerContext, ProcessContext, TimerSpec } from '#pipelines/engine/dofn';
import { eventTimer, outputTag, valueState } from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { create, flatten, keyBy, parDo, parDoTagged, withTimestamps } from '#pipelines/model/transforms';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { turns } from '../../../support/turns.ts';

const values = <T>(collected: readonly Collected<T>[]): T[] => collected.map(({ value }) => value);

test('map and flatMap run with what their functions capture', async () => {
  const out: Collected<string>[] = [];
  const captured = { suffix: '!' };
  await runToEnd((root) => {
    const words = root.apply(create(['to be', 'or not'])).flatMap((line) => line.split(' '));
    collectInto(
      words.map((word) => word.toUpperCase() + captured.suffix),
      out,
    );
  });
  expect(values(out)).toEqual(['TO!', 'BE!', 'OR!', 'NOT!']);
});

test('tagged outputs go their own way, and flatten brings them together', async () => {
  const odd = outputTag<number>('odd');
  const out: Collected<string>[] = [];
  await runToEnd((root) => {
    const { main, odd: odds } = root.apply(create([1, 2, 3, 4])).apply(
      parDoTagged<number, number, { odd: typeof odd }>(
        {
          process(element, context) {
            if (element % 2 === 0) context.output(element);
            else context.outputTo(odd, element);
          },
        },
        { odd },
        { name: 'Split' },
      ),
    );
    const even = main.map((value) => `even ${value}`);
    const uneven = odds.apply(parDo<number, string>({ process: (v, c) => c.output(`odd ${v}`) }, { name: 'Name' }));
    collectInto(flatten([even, uneven]), out);
  });
  expect(values(out).sort()).toEqual(['even 2', 'even 4', 'odd 1', 'odd 3']);
});

class CountUntilQuiet {
  readonly count = valueState<number>('count');
  readonly quiet = eventTimer('quiet');

  process(_: KV<string, number>, context: ProcessContext<string>): void {
    const count = context.state(this.count);
    count.write((count.read() ?? 0) + 1);
    context.timer(this.quiet).set(context.timestamp + 10);
  }

  onTimer(_: TimerSpec, context: OnTimerContext<string>): void {
    const count = context.state(this.count);
    context.output(`${context.key} had ${count.read()}`);
    count.clear();
  }
}

test('state is per key, and an event-time timer fires when the watermark passes it', async () => {
  const out: Collected<string>[] = [];
  await runToEnd((root) => {
    const events = root.apply(create([1, 2, 3, 14, 15])).apply(withTimestamps((at) => at));
    const keyed = events.apply(keyBy((at) => (at % 2 === 0 ? 'even' : 'odd')));
    collectInto(keyed.apply(parDo(new CountUntilQuiet(), { name: 'Count' })), out);
  });
  expect(out).toEqual([
    { value: 'even had 2', timestamp: 24 },
    { value: 'odd had 3', timestamp: 25 },
  ]);
});

test('async process keeps the order of each key and the bundle waits for all', async () => {
  const out: Collected<string>[] = [];
  let running = 0;
  let most = 0;
  class Slow {
    readonly seen = valueState<string>('seen');
    async process(element: KV<number, number>, context: ProcessContext<string>): Promise<void> {
      most = Math.max(most, ++running);
      await turns(element.value % 3);
      const seen = context.state(this.seen);
      seen.write((seen.read() ?? '') + element.value);
      context.output(`${element.key}:${seen.read()}`);
      running -= 1;
    }
  }
  await runToEnd((root) => {
    const keyed = root.apply(create([1, 2, 3, 4, 5, 6])).apply(keyBy((value) => value % 2));
    collectInto(keyed.apply(parDo(new Slow(), { name: 'Slow' })), out);
  });
  expect(values(out).filter((text) => text.startsWith('0'))).toEqual(['0:2', '0:24', '0:246']);
  expect(values(out).filter((text) => text.startsWith('1'))).toEqual(['1:1', '1:13', '1:135']);
  expect(most).toBe(2);
});

test('a DoFn that throws fails the job with the transform, the element and the cause', async () => {
  const run = runToEnd((root) => {
    root.apply(create([{ id: 7 }])).apply(
      parDo(
        {
          process() {
            throw new Error('no such account');
          },
        },
        { name: 'LookUp' },
      ),
    );
  });
  await expect(run).rejects.toThrow('transform "LookUp" failed in process on element {"id":7}: no such account');
});

test('two transforms of one name get a number, the same each time the graph is built', () => {
  const namesOf = (): string[] =>
    createPipeline((root) => {
      root.apply(create([1], 'Numbers'));
      root.apply(create([2], 'Numbers'));
    }).transforms.map(({ name }) => name);
  expect(namesOf()).toEqual(['Numbers/Impulse', 'Numbers/Values', 'Numbers 2/Impulse', 'Numbers 2/Values']);
  expect(namesOf()).toEqual(namesOf());
});
