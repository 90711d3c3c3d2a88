import { MAX_EVENT_TIME } from '#kernel/time';
import { GLOBAL_WINDOW } from '#pipelines/engine/windowing/window';
import type { GraphSpec, StageSpec, TriggerSpec, WindowsSpec } from './random_graph.ts';

/**
 * The obvious way to run a {@link GraphSpec}: step by step and stage by stage, each stage looking at all that it holds. No indexes, no heaps, no incremental holds; what
 * the engine does is compared with it.
 */

export interface SlowWindow {
  readonly start: number;
  readonly end: number;
  /** Its last moment. */
  readonly max: number;
}

export interface SlowElement {
  readonly key: string;
  readonly value: number;
  readonly at: number;
  readonly window: SlowWindow;
  readonly note: string;
}

/** Runs a graph. @returns what each stage puts out, as text */
export function slowOutputs(spec: GraphSpec): string[][] {
  let trigger = spec.trigger;
  let merges = spec.windows.kind === 'sessions';
  const stages = spec.stages.map((stage): SlowStage => {
    if (stage.kind === 'wait') return new SlowWait();
    if (stage.kind === 'timers') return new SlowTimers(stage, spec.latenessMs);
    const group = new SlowGroup(spec, trigger, merges);
    trigger = continuation(trigger);
    merges = false;
    return group;
  });
  const outputs: string[][] = stages.map(() => []);
  let watermark = Number.MIN_SAFE_INTEGER;
  const pass = (elements: readonly SlowElement[]): void => {
    let passed = elements;
    let at = watermark;
    for (const [index, stage] of stages.entries()) {
      passed = stage.step(passed, at);
      at = stage.outputWatermark;
      outputs[index]?.push(...passed.map(textOf));
    }
  };
  for (const step of spec.steps) {
    if (step.kind === 'watermark') {
      watermark = Math.max(watermark, -1) + step.byMs;
      pass([]);
    } else {
      pass(
        step.elements.flatMap(({ key, value, at }) =>
          windowsOf(spec.windows, at).map((window) => ({ key, value, at, window, note: '' })),
        ),
      );
    }
  }
  watermark = MAX_EVENT_TIME;
  pass([]);
  return outputs;
}

export const textOf = ({ key, value, at, window, note }: SlowElement): string =>
  `${key} ${value} at ${at} in ${window.start}:${window.end} ${note}`;

function windowsOf(windows: WindowsSpec, at: number): SlowWindow[] {
  const cut = (start: number, sizeMs: number): SlowWindow => ({ start, end: start + sizeMs, max: start + sizeMs - 1 });
  switch (windows.kind) {
    case 'global':
      return [{ start: GLOBAL_WINDOW.start, end: GLOBAL_WINDOW.end, max: GLOBAL_WINDOW.maxTimestamp() }];
    case 'fixed':
      return [cut(Math.floor(at / windows.sizeMs) * windows.sizeMs, windows.sizeMs)];
    case 'sessions':
      return [cut(at, windows.gapMs)];
    case 'sliding': {
      const found: SlowWindow[] = [];
      for (let start = -1_000 * windows.periodMs; start <= at; start += windows.periodMs) {
        if (start + windows.sizeMs > at) found.push(cut(start, windows.sizeMs));
      }
      return found;
    }
  }
}

function continuation(trigger: TriggerSpec): TriggerSpec {
  if (trigger.kind === 'repeatedly') return { kind: 'repeatedly', count: 1 };
  if (trigger.kind === 'default') return trigger;
  return { kind: 'afterWatermark', early: trigger.early === undefined ? undefined : 1, late: 1 };
}

abstract class SlowStage {
  inputWatermark: number = Number.MIN_SAFE_INTEGER;
  outputWatermark: number = Number.MIN_SAFE_INTEGER;

  /** One bundle: elements, then the watermark. */
  step(elements: readonly SlowElement[], watermark: number): SlowElement[] {
    const outputs: SlowElement[] = [];
    for (const element of elements) this.process(element, outputs);
    this.advance(Math.max(this.inputWatermark, watermark), outputs);
    this.outputWatermark = Math.max(this.outputWatermark, Math.min(this.inputWatermark, ...this.holds()));
    return outputs;
  }

  protected abstract process(element: SlowElement, outputs: SlowElement[]): void;
  protected abstract advance(watermark: number, outputs: SlowElement[]): void;
  protected holds(): number[] {
    return [];
  }
}

class SlowWait extends SlowStage {
  protected process(element: SlowElement, outputs: SlowElement[]): void {
    outputs.push({ ...element, note: '' });
  }
  protected advance(watermark: number): void {
    this.inputWatermark = watermark;
  }
}

interface Held {
  readonly key: string;
  window: SlowWindow;
  all: number[];
  fresh: number[];
  /** Elements that the trigger has counted. */
  counted: number;
  hold: number | undefined;
  at: number | undefined;
  panes: number;
  onTimePanes: number;
  hasEnded: boolean;
  /** afterWatermark alone: it has fired for the end of the window. */
  hasFiredOnTime: boolean;
  isOnlyEarly: boolean;
}

class SlowGroup extends SlowStage {
  readonly #spec: GraphSpec;
  readonly #trigger: TriggerSpec;
  readonly #merges: boolean;
  #held: Held[] = [];

  constructor(spec: GraphSpec, trigger: TriggerSpec, merges: boolean) {
    super();
    this.#spec = spec;
    this.#trigger = trigger;
    this.#merges = merges;
  }

  #expiry({ max }: SlowWindow): number {
    return Math.min(max + this.#spec.latenessMs, MAX_EVENT_TIME - 1);
  }

  protected process({ key, value, at, window }: SlowElement, outputs: SlowElement[]): void {
    if (this.#expiry(window) < this.inputWatermark) return;
    const held = this.#merges ? this.#mergeIn(key, window) : this.#find(key, window);
    held.all.push(value);
    held.fresh.push(value);
    held.counted += 1;
    if (this.#spec.combiner === 'endOfWindow') held.hold ??= this.#notLate(held.window.max, held.window);
    else {
      if (at >= this.outputWatermark) held.at = Math.min(held.at ?? at, at);
      held.hold = this.#notLate(held.at ?? held.window.max, held.window);
    }
    if (this.#isDue(held)) this.#fire(held, false, outputs);
  }

  #notLate(hold: number, window: SlowWindow): number {
    return hold >= this.outputWatermark ? hold : this.#expiry(window);
  }

  #find(key: string, window: SlowWindow): Held {
    const found = this.#held.find(
      (one) => one.key === key && one.window.start === window.start && one.window.end === window.end,
    );
    if (found !== undefined) return found;
    const made: Held = {
      ...{ key, window, all: [], fresh: [], counted: 0, hold: undefined, at: undefined },
      ...{
        panes: 0,
        onTimePanes: 0,
        hasFiredOnTime: false,
        isOnlyEarly: true,
        hasEnded: window.max < this.inputWatermark,
      },
    };
    this.#held.push(made);
    return made;
  }

  /** All windows of the key that share a moment with it become one. */
  #mergeIn(key: string, window: SlowWindow): Held {
    const overlapping = this.#held.filter(
      (one) => one.key === key && one.window.start < window.end && window.start < one.window.end,
    );
    const start = Math.min(window.start, ...overlapping.map((one) => one.window.start));
    const end = Math.max(window.end, ...overlapping.map((one) => one.window.end));
    const same = overlapping.find((one) => one.window.start === start && one.window.end === end);
    if (same !== undefined && overlapping.length === 1) return same;
    this.#held = this.#held.filter((one) => !overlapping.includes(one));
    const merged = this.#find(key, { start, end, max: end - 1 });
    for (const one of overlapping) {
      merged.all.push(...one.all);
      merged.fresh.push(...one.fresh);
      merged.counted += one.counted;
    }
    merged.panes = same?.panes ?? 0;
    merged.onTimePanes = same?.onTimePanes ?? 0;
    if (merged.fresh.length > 0) merged.hold = this.#notLate(merged.window.max, merged.window);
    return merged;
  }

  #isDue(held: Held): boolean {
    const trigger = this.#trigger;
    switch (trigger.kind) {
      case 'default':
        return held.hasEnded;
      case 'repeatedly':
        return held.counted >= trigger.count;
      case 'afterWatermark':
        if (!held.hasEnded) return held.counted >= (trigger.early ?? Number.POSITIVE_INFINITY);
        return !held.hasFiredOnTime || held.counted >= trigger.late;
    }
  }

  protected advance(watermark: number, outputs: SlowElement[]): void {
    this.inputWatermark = watermark;
    const byTime = (a: Held, b: Held): number => a.window.max - b.window.max;
    for (const held of [...this.#held].sort(byTime)) {
      const expires = this.#expiry(held.window) < watermark;
      if (!held.hasEnded && held.window.max < watermark) {
        held.hasEnded = true;
        if (this.#trigger.kind !== 'repeatedly') this.#fire(held, expires, outputs);
      }
      if (expires && held.fresh.length > 0) this.#fire(held, true, outputs);
    }
    this.#held = this.#held.filter((held) => this.#expiry(held.window) >= watermark);
  }

  #fire(held: Held, isLast: boolean, outputs: SlowElement[]): void {
    const isLate = !held.isOnlyEarly || held.window.max < this.outputWatermark;
    const timing = isLate ? 'LATE' : held.hasEnded ? 'ON_TIME' : 'EARLY';
    const values = this.#spec.accumulating ? held.all : held.fresh;
    const at = held.at ?? held.window.max;
    held.counted = 0;
    if (held.hasEnded) held.hasFiredOnTime = true;
    held.hold = undefined;
    held.at = undefined;
    if (held.fresh.length === 0) return;
    const note = `${values.length} values ${timing} ${held.panes}${isLast ? ' last' : ''}`;
    outputs.push({
      key: held.key,
      value: values.reduce((sum, value) => sum + value, 0),
      at,
      window: held.window,
      note,
    });
    held.fresh = [];
    held.panes += 1;
    if (timing !== 'EARLY') {
      held.onTimePanes += 1;
      held.isOnlyEarly = false;
    }
  }

  protected override holds(): number[] {
    return this.#held.flatMap(({ hold }) => hold ?? []);
  }
}

interface SlowTimer {
  readonly key: string;
  readonly window: SlowWindow;
  readonly tag: string;
  readonly at: number;
  readonly outputAt: number;
}

type TimersSpec = Extract<StageSpec, { kind: 'timers' }>;

class SlowTimers extends SlowStage {
  readonly #spec: TimersSpec;
  readonly #latenessMs: number;
  readonly #counts = new Map<string, number>();
  #timers: SlowTimer[] = [];

  constructor(spec: TimersSpec, latenessMs: number) {
    super();
    this.#spec = spec;
    this.#latenessMs = latenessMs;
  }

  protected process({ key, value, at, window }: SlowElement): void {
    const expiry = window.max + this.#latenessMs;
    if (expiry < this.inputWatermark && window.max !== GLOBAL_WINDOW.maxTimestamp()) return;
    const cell = cellOf(key, window);
    this.#counts.set(cell, (this.#counts.get(cell) ?? 0) + 1);
    const tag = value % 2;
    const fires = timerAt(at + this.#spec.offsetMs, tag, expiry);
    const outputAt = this.#spec.holds ? Math.min(at, expiry) : fires;
    this.#set({ key, window, tag: String(tag), at: fires, outputAt });
  }

  #set(timer: SlowTimer): void {
    this.#timers = this.#timers.filter(
      ({ key, window, tag }) => cellOf(key, window) !== cellOf(timer.key, timer.window) || tag !== timer.tag,
    );
    this.#timers.push(timer);
  }

  protected advance(watermark: number, outputs: SlowElement[]): void {
    this.inputWatermark = watermark;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at < watermark).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      const { key, window, tag, at, outputAt } = due;
      const count = this.#counts.get(cellOf(key, window)) ?? 0;
      outputs.push({ key, value: count, at: outputAt, window, note: `timer ${tag} of ${at}` });
      const again = at + AGAIN_MS;
      if (count % this.#spec.repeatsEvery !== 0 || again > window.max + this.#latenessMs || again > LATEST_REPEAT)
        continue;
      this.#set({ key, window, tag, at: again, outputAt: again });
    }
    for (const [cell] of this.#counts) {
      const max = Number(cell.split(' ')[2]);
      if (max !== GLOBAL_WINDOW.maxTimestamp() && max + this.#latenessMs < watermark) this.#counts.delete(cell);
    }
  }

  protected override holds(): number[] {
    return this.#timers.filter(({ at, outputAt }) => outputAt < at).map(({ outputAt }) => outputAt);
  }
}

/** Returns a time near `at` that is even for tag 0 and odd for tag 1, so that two timers never fire at once: their order would be open. */
export const timerAt = (at: number, tag: number, expiry: number): number =>
  2 * Math.floor(Math.min(at, expiry - 1) / 2) + tag;

/** A timer that is set again fires so much later. */
export const AGAIN_MS = 12;
/** No timer is set again beyond this. */
export const LATEST_REPEAT = 300;

const cellOf = (key: string, { start, max }: SlowWindow): string => `${key} ${start} ${max}`;
