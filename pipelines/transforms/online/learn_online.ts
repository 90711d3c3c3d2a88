import { type EventTime, eventTime } from '#kernel/time';
import {
  type DoFn,
  eventTimer,
  type OnTimerContext,
  orderedListState,
  outputTag,
  type ProcessContext,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import type { KV, PCollection } from '#pipelines/model/pcollection';
import { keyedCoder, parDoTagged } from '#pipelines/model/transforms';
import {
  type LabelledExample,
  learnExample,
  newLearner,
  ONLINE_DEFAULTS,
  type OnlineCheckpoint,
  type OnlineLearner,
  type OnlineLearnerSettings,
} from './online_learner.ts';

/** An example that was left out, and why. */
export interface RefusedExample {
  readonly id: string;
  readonly field: string;
  readonly problem: string;
}

const REFUSED = outputTag<KV<string, RefusedExample>>('refused');

/**
 * Learns in keyed state. Examples wait until the watermark has passed their time, and are learned by time and id: whatever order they come in, the
 * weights are the same to the last digit. A late one is learned when it comes.
 */
export class LearnOnline implements DoFn<KV<string, LabelledExample>, KV<string, OnlineCheckpoint>> {
  readonly waiting = orderedListState<LabelledExample>('waiting');
  readonly due = valueState<EventTime>('due');
  readonly learner = valueState<OnlineLearner>('learner');
  readonly learn = eventTimer('learn');
  readonly #settings: OnlineLearnerSettings;

  constructor(settings: OnlineLearnerSettings) {
    this.#settings = settings;
  }

  process({ value }: KV<string, LabelledExample>, context: ProcessContext<KV<string, OnlineCheckpoint>>): void {
    context.state(this.waiting).add(context.timestamp, value);
    const due = context.state(this.due).read();
    if (due !== undefined && due <= context.timestamp) return;
    this.#wake(context.timestamp, context);
  }

  onTimer(_: TimerSpec, context: OnTimerContext<KV<string, OnlineCheckpoint>, string>): void {
    const waiting = context.state(this.waiting);
    const until = eventTime(Math.max(context.firedAt + 1, context.inputWatermark));
    const ready = [...waiting.readRange(eventTime(Number.MIN_SAFE_INTEGER), until)];
    waiting.clearRange(eventTime(Number.MIN_SAFE_INTEGER), until);
    // The list is by time alone.
    ready.sort(([a, { id: one }], [b, { id: other }]) => a - b || (one < other ? -1 : 1));
    const cell = context.state(this.learner);
    const learner = cell.read() ?? newLearner(ready[0]?.[0] ?? context.firedAt);
    for (const [, example] of ready) {
      const made = learnExample(learner, example, this.#settings);
      if (made === undefined) continue;
      if ('problem' in made) context.outputTo(REFUSED, { key: context.key, value: { id: example.id, ...made } });
      else context.output({ key: context.key, value: made });
    }
    cell.write(learner);
    const [next] = waiting.readRange(until, eventTime(Number.MAX_SAFE_INTEGER));
    if (next === undefined) context.state(this.due).clear();
    else this.#wake(next[0], context);
  }

  #wake(at: EventTime, context: ProcessContext<unknown>): void {
    context.state(this.due).write(at);
    context.timer(this.learn).set(at);
  }
}

/** Settings of {@link learnOnline}: the columns, and what differs from alpha 0.1, beta 1, l1 0, l2 0, every 500, keep 4, mostCategories 1,000. */
export interface LearnOnlineSettings extends Partial<OnlineLearnerSettings> {
  readonly name?: string;
  readonly columns: OnlineLearnerSettings['columns'];
}

/**
 * Learns a logistic regression for each key from labelled examples, as they come: FTRL-proximal (McMahan et al., KDD 2013). Puts out a checkpoint
 * after each `every` examples, and those that it left out as `refused`.
 *
 * @throws RangeError for settings that no learner can work with
 */
export function learnOnline(
  examples: PCollection<KV<string, LabelledExample>>,
  { name = 'LearnOnline', ...given }: LearnOnlineSettings,
): {
  readonly checkpoints: PCollection<KV<string, OnlineCheckpoint>>;
  readonly refused: PCollection<KV<string, RefusedExample>>;
} {
  const settings: OnlineLearnerSettings = { ...ONLINE_DEFAULTS, ...given };
  const { alpha, every, columns, keep } = settings;
  if (columns.length === 0) throw new RangeError(`${name}: columns is empty: name what it learns from`);
  if (!(alpha > 0)) throw new RangeError(`${name}: alpha must be above 0, not ${alpha}`);
  for (const field of ['beta', 'l1', 'l2', 'mostCategories'] as const) {
    if (!(settings[field] >= 0)) throw new RangeError(`${name}: ${field} must be 0 or above, not ${settings[field]}`);
  }
  if (!(Number.isInteger(every) && every >= 2)) throw new RangeError(`${name}: every must be 2 or more, not ${every}`);
  if (!(Number.isInteger(keep) && keep >= 0)) throw new RangeError(`${name}: keep must be 0 or more, not ${keep}`);
  const { main, refused } = examples.apply(
    parDoTagged(new LearnOnline(settings), { refused: REFUSED }, { name, coder: keyedCoder() }),
  );
  return { checkpoints: main as PCollection<KV<string, OnlineCheckpoint>>, refused };
}
