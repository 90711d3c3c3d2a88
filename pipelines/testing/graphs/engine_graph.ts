import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EventTime } from '#kernel/time';
import {
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import type { Trigger } from '#pipelines/engine/windowing/trigger';
import type { Window } from '#pipelines/engine/windowing/window';
import { groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyedCoder, parDo, windowInto } from '#pipelines/model/transforms';
import { afterCount, afterWatermark, defaultTrigger, repeatedly } from '#pipelines/model/windows/triggers';
import {
  fixedWindows,
  globalWindows,
  sessions,
  slidingWindows,
  type WindowFnSpec,
} from '#pipelines/model/windows/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import type { StateOptions } from '#pipelines/runner/state_options';
import { testStream } from '../test_stream.ts';
import type { GraphSpec, StageSpec, TriggerSpec, WindowsSpec } from './random_graph.ts';
import { AGAIN_MS, LATEST_REPEAT, textOf, timerAt } from './slow_engine.ts';

type Numbers = KV<string, number>;

class CrashedError extends Error {}

/** Runs a graph on the embedded runner. @param directory - for snapshots, where it crashes. @returns what each stage puts out, as text */
export async function engineOutputs(
  spec: GraphSpec,
  directory: string,
  state: StateOptions = { kind: 'heap' },
): Promise<string[][]> {
  const outputs: string[][] = spec.stages.map(() => []);
  // Outside of the graph, which is built again after the crash.
  const calls = { left: spec.crashesAfter ?? Number.POSITIVE_INFINITY };
  const plan = createPipeline((root) => {
    let collection = root
      .apply(scriptOf(spec))
      .apply(parDo<Numbers, Numbers>(crashing(calls), { name: 'Crash', coder: keyedCoder() }))
      .apply(
        windowInto<Numbers>({
          windowFn: windowFnOf(spec.windows),
          trigger: triggerOf(spec.trigger),
          accumulation: spec.accumulating ? 'accumulating' : 'discarding',
          allowedLatenessMs: spec.latenessMs,
          timestampCombiner: spec.combiner,
        }),
      );
    for (const [index, stage] of spec.stages.entries()) {
      const noted = applyStage(collection, stage, spec, index);
      collection = noted.apply(
        parDo<KV<string, Noted>, Numbers>(
          {
            process({ key, value: { value, note } }, context) {
              const { timestamp: at, window } = context;
              const { start, end } = window;
              outputs[index]?.push(
                textOf({ key, value, at, window: { start, end, max: window.maxTimestamp() }, note }),
              );
              context.output({ key, value });
            },
          },
          { name: `Outputs ${index}`, coder: keyedCoder() },
        ),
      );
    }
  });
  const crashes = spec.crashesAfter !== undefined;
  const job = runEmbedded(plan, {
    strict: spec.strict,
    state,
    ...(crashes ? { snapshots: { directory, intervalMs: 0 }, maxRetries: 1 } : {}),
  });
  await job.finished;
  return outputs;
}

interface Noted {
  readonly value: number;
  readonly note: string;
}

function scriptOf(spec: GraphSpec): (root: PipelineRoot) => PCollection<Numbers> {
  const stream = testStream<Numbers>();
  let watermark = Number.MIN_SAFE_INTEGER;
  for (const step of spec.steps) {
    if (step.kind === 'watermark') {
      watermark = Math.max(watermark, -1) + step.byMs;
      stream.advanceWatermarkTo(watermark);
    } else stream.add(...step.elements.map(({ key, value, at }) => [{ key, value }, at] as const));
  }
  return stream.toInfinity();
}

function crashing(calls: { left: number }): DoFn<Numbers, Numbers> {
  return {
    process(element, context) {
      calls.left -= 1;
      if (calls.left === -1) throw new CrashedError('crash');
      context.output(element);
    },
  };
}

function windowFnOf(windows: WindowsSpec): WindowFnSpec {
  switch (windows.kind) {
    case 'global':
      return globalWindows();
    case 'fixed':
      return fixedWindows(windows.sizeMs / 1_000);
    case 'sliding':
      return slidingWindows(windows.sizeMs / 1_000, windows.periodMs / 1_000);
    case 'sessions':
      return sessions(windows.gapMs / 1_000);
  }
}

function triggerOf(trigger: TriggerSpec): Trigger {
  if (trigger.kind === 'default') return defaultTrigger;
  if (trigger.kind === 'repeatedly') return repeatedly(afterCount(trigger.count));
  return afterWatermark({
    ...(trigger.early === undefined ? {} : { early: afterCount(trigger.early) }),
    late: afterCount(trigger.late),
  });
}

function applyStage(
  collection: PCollection<Numbers>,
  stage: StageSpec,
  spec: GraphSpec,
  index: number,
): PCollection<KV<string, Noted>> {
  const coder = keyedCoder();
  switch (stage.kind) {
    case 'group':
      return collection.apply(groupByKey(`Group ${index}`)).apply(
        parDo<KV<string, readonly number[]>, KV<string, Noted>>(
          {
            process({ key, value: values }, context) {
              const { timing, index: at, isLast } = context.pane;
              const note = `${values.length} values ${timing} ${at}${isLast ? ' last' : ''}`;
              context.output({ key, value: { value: values.reduce((sum, value) => sum + value, 0), note } });
            },
          },
          { name: `Sum ${index}`, coder },
        ),
      );
    case 'wait':
      return collection.apply(
        parDo<Numbers, KV<string, Noted>>(
          {
            async process({ key, value }, context) {
              await nextTurn();
              context.output({ key, value: { value, note: '' } });
            },
          },
          { name: `Wait ${index}`, coder, maxConcurrency: 3 },
        ),
      );
    case 'timers':
      return collection.apply(parDo(new Timers(stage, spec.latenessMs), { name: `Timers ${index}`, coder }));
  }
}

class Timers implements DoFn<Numbers, KV<string, Noted>> {
  readonly count = valueState<number>('count');
  readonly wake = eventTimer('wake');
  readonly #spec: Extract<StageSpec, { kind: 'timers' }>;
  readonly #latenessMs: number;

  constructor(spec: Extract<StageSpec, { kind: 'timers' }>, latenessMs: number) {
    this.#spec = spec;
    this.#latenessMs = latenessMs;
  }

  process({ value }: Numbers, context: ProcessContext<KV<string, Noted>>): void | Promise<void> {
    if (this.#spec.isAsync) return this.#later(value % 2, () => this.#count(value, context));
    this.#count(value, context);
  }

  #count(value: number, context: ProcessContext<KV<string, Noted>>): void {
    const cell = context.state(this.count);
    cell.write((cell.read() ?? 0) + 1);
    const expiry = (context.window as Window).maxTimestamp() + this.#latenessMs;
    const at = timerAt(context.timestamp + this.#spec.offsetMs, value % 2, expiry);
    const outputTimestamp = Math.min(context.timestamp, expiry) as EventTime;
    const tag = String(value % 2);
    context.timer(this.wake).set(at, this.#spec.holds ? { tag, outputTimestamp } : { tag });
  }

  onTimer(_: TimerSpec, context: OnTimerContext<KV<string, Noted>, string>): void | Promise<void> {
    if (this.#spec.isAsync) return this.#later(context.firedAt % 2, () => this.#fire(context));
    this.#fire(context);
  }

  #fire(context: OnTimerContext<KV<string, Noted>, string>): void {
    const { key, firedAt, timerTag: tag, window } = context;
    const count = context.state(this.count).read() ?? 0;
    context.output({ key, value: { value: count, note: `timer ${tag} of ${firedAt}` } });
    const again = firedAt + AGAIN_MS;
    if (count % this.#spec.repeatsEvery !== 0 || again > window.maxTimestamp() + this.#latenessMs) return;
    if (again <= LATEST_REPEAT) context.timer(this.wake).set(again, { tag });
  }

  async #later(turns: number, task: () => void): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) await nextTurn();
    task();
  }
}
