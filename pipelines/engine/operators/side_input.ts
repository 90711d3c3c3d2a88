import { keyIdOf } from '#kernel/keys/key_codec';
import { type EventTime, MIN_EVENT_TIME } from '#kernel/time';
import type { PaneInfo, SideInputMap, SideInputView } from '../dofn.ts';
import { InvalidPipelineError } from '../errors.ts';
import type { Receiver } from '../receiver.ts';
import {
  GLOBAL_WINDOW,
  reviveWindow,
  type SavedWindow,
  saveWindow,
  type Window,
  type WindowFn,
} from '../windowing/window.ts';
import type { Edge } from './operator.ts';

/** Where a DoFn's side inputs come from: collected here, or fetched from a runner. */
export interface SideInputs {
  /** Whether everything needed for an element of `window` can be read without waiting. */
  isReady(window: Window): boolean;
  /** Brings what is missing; undefined when only time can. */
  load?(window: Window): Promise<void>;
  read(view: SideInputView<unknown>, mainWindow: Window): unknown;
}

/** The window of a side input that goes with one of the main input. */
export function sideInputWindow(windowFn: WindowFn, main: Window): Window {
  if (windowFn.sideInputWindow !== undefined) return windowFn.sideInputWindow(main);
  if (windowFn.merge !== undefined) {
    throw new InvalidPipelineError(
      `side inputs cannot be in merging windows (${windowFn.name}): window them otherwise`,
    );
  }
  return windowFn
    .assign(main.maxTimestamp(), undefined)
    .reduce((earliest, window) => (window.end < earliest.end ? window : earliest));
}

class MapView implements SideInputMap<unknown, unknown> {
  readonly #entries: ReadonlyMap<unknown, readonly [key: unknown, value: unknown]>;

  constructor(entries: ReadonlyMap<unknown, readonly [key: unknown, value: unknown]>) {
    this.#entries = entries;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: unknown): unknown {
    return this.#entries.get(keyIdOf(key))?.[1];
  }

  has(key: unknown): boolean {
    return this.#entries.has(keyIdOf(key));
  }

  entries(): Iterable<readonly [unknown, unknown]> {
    return this.#entries.values();
  }
}

/**
 * Makes what `context.sideInput(view)` returns out of the collection's elements in one window.
 *
 * @throws {@link InvalidPipelineError} a singleton that is not single, a map with a key twice
 */
export function materialize(view: SideInputView<unknown>, values: readonly unknown[], transform: string): unknown {
  switch (view.kind) {
    case 'iterable':
    case 'list':
      // Later elements of the window must not appear in what was read before.
      return [...values];
    case 'singleton': {
      if (values.length === 1) return values[0];
      if (values.length === 0 && view.hasDefault) return view.defaultValue;
      throw new InvalidPipelineError(
        `a side input of transform "${transform}" is read as a singleton, but its window holds ${values.length} elements${
          values.length === 0 ? ': give asSingleton a default' : ': combine them first, or use asIterable'
        }`,
      );
    }
    case 'map': {
      const entries = new Map<unknown, readonly [unknown, unknown]>();
      for (const { key, value } of values as { key: unknown; value: unknown }[]) {
        const keyId = keyIdOf(key);
        if (entries.has(keyId)) {
          throw new InvalidPipelineError(
            `a side input of transform "${transform}" is read as a map, but holds key ${JSON.stringify(key)} more than once: combine it per key first, or use asMultimap`,
          );
        }
        entries.set(keyId, [key, value]);
      }
      return new MapView(entries);
    }
    case 'multimap': {
      const entries = new Map<unknown, readonly [unknown, unknown[]]>();
      for (const { key, value } of values as { key: unknown; value: unknown }[]) {
        const keyId = keyIdOf(key);
        const entry = entries.get(keyId);
        if (entry === undefined) entries.set(keyId, [key, [value]]);
        else entry[1].push(value);
      }
      return new MapView(entries);
    }
  }
}

export interface SideInputBinding {
  readonly view: SideInputView<unknown>;
  readonly windowFn: WindowFn;
}

interface SideWindow {
  readonly window: Window;
  values: unknown[];
  /** A trigger has fired into it, so it need not wait for its end. */
  fired: boolean;
  made: { readonly value: unknown } | undefined;
}

interface SavedSideWindow {
  readonly window: SavedWindow;
  readonly values: unknown[];
  readonly fired: boolean;
}

/** One collection seen from the side, kept by window for as long as the main input may read it. */
class CollectedView implements Receiver {
  readonly binding: SideInputBinding;
  readonly input: Edge;
  readonly #windows = new Map<string, SideWindow>();
  #watermark: EventTime = MIN_EVENT_TIME;

  constructor(binding: SideInputBinding, input: Edge) {
    this.binding = binding;
    this.input = input;
    input.connect(this);
  }

  receive(value: unknown, _timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const side = this.#at(window);
    // A later pane of a single value replaces the earlier one.
    if (this.binding.view.kind === 'singleton' && pane.index > 0) side.values = [];
    side.values.push(value);
    if (pane.timing !== 'UNKNOWN') side.fired = true;
    side.made = undefined;
  }

  #at(window: Window): SideWindow {
    let side = this.#windows.get(window.id);
    if (side === undefined) {
      side = { window, values: [], fired: false, made: undefined };
      this.#windows.set(window.id, side);
    }
    return side;
  }

  advance(): void {
    this.#watermark = this.input.watermark();
  }

  isReady(main: Window): boolean {
    const window = sideInputWindow(this.binding.windowFn, main);
    return window.maxTimestamp() < this.#watermark || (this.#windows.get(window.id)?.fired ?? false);
  }

  read(main: Window, transform: string): unknown {
    const side = this.#at(sideInputWindow(this.binding.windowFn, main));
    side.made ??= { value: materialize(this.binding.view, side.values, transform) };
    return side.made.value;
  }

  /** Drops windows that no main window from `mainWatermark` on can read. */
  forget(mainWatermark: number, latenessMs: number): void {
    if (this.#windows.size < 2) return;
    for (const [id, { window }] of this.#windows) {
      if (window !== GLOBAL_WINDOW && window.maxTimestamp() + latenessMs < mainWatermark) this.#windows.delete(id);
    }
  }

  save(): SavedSideWindow[] {
    return [...this.#windows.values()].map(({ window, values, fired }) => ({
      window: saveWindow(window),
      values,
      fired,
    }));
  }

  restore(windows: readonly SavedSideWindow[]): void {
    for (const { window, values, fired } of windows) {
      // Several threads have saved the same; one may have forgotten a window already.
      const held = this.#windows.get(window.id);
      if (held !== undefined && (held.values.length > values.length || (held.fired && !fired))) continue;
      this.#windows.set(window.id, { window: reviveWindow(window), values, fired, made: undefined });
    }
  }
}

/** Side inputs of one transform in the embedded engine. */
export class CollectedSideInputs implements SideInputs {
  readonly #transform: string;
  readonly #views = new Map<SideInputView<unknown>, CollectedView>();

  constructor(transform: string, bindings: readonly (SideInputBinding & { readonly input: Edge })[]) {
    this.#transform = transform;
    for (const binding of bindings) this.#views.set(binding.view, new CollectedView(binding, binding.input));
  }

  advance(): void {
    for (const view of this.#views.values()) view.advance();
  }

  forget(mainWatermark: number, latenessMs: number): void {
    for (const view of this.#views.values()) view.forget(mainWatermark, latenessMs);
  }

  isReady(window: Window): boolean {
    for (const view of this.#views.values()) if (!view.isReady(window)) return false;
    return true;
  }

  read(view: SideInputView<unknown>, mainWindow: Window): unknown {
    const collected = this.#views.get(view);
    if (collected === undefined) throw undeclaredSideInput(this.#transform);
    return collected.read(mainWindow, this.#transform);
  }

  save(): unknown {
    return [...this.#views.values()].map((view) => view.save());
  }

  restore(data: unknown): void {
    const saved = data as SavedSideWindow[][];
    for (const [index, view] of [...this.#views.values()].entries()) view.restore(saved[index] ?? []);
  }
}

export const undeclaredSideInput = (transform: string): InvalidPipelineError =>
  new InvalidPipelineError(
    `transform "${transform}" reads a side input it does not declare: pass the view in parDo's sideInputs`,
  );
