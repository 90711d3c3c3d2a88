import type { EventTime } from '#kernel/time';
import type { PaneInfo } from '#pipelines/engine/dofn';
import { type Edge, Operator } from '#pipelines/engine/operators/operator';
import type { Window, WindowFn } from '#pipelines/engine/windowing/window';

/** A runner's question which of a key's windows become one, for window functions that only the SDK knows. */
export class MergeWindows extends Operator {
  readonly #output: Edge;
  readonly #windowFn: WindowFn;

  constructor(name: string, input: Edge, output: Edge, windowFn: WindowFn) {
    super(name, input);
    this.#output = output;
    this.#windowFn = windowFn;
  }

  receive(element: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const { key: nonce, value: windows } = element as { readonly key: unknown; readonly value: readonly Window[] };
    const merges = this.#windowFn.merge?.(windows) ?? [];
    const merged = new Set(merges.flatMap(({ sources }) => sources.map(({ id }) => id)));
    const answer = {
      key: nonce,
      value: {
        key: windows.filter(({ id }) => !merged.has(id)),
        value: merges.map(({ sources, result }) => ({ key: result, value: sources })),
      },
    };
    this.#output.receive(answer, timestamp, window, pane);
  }
}
