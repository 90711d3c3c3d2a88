import type { PaneInfo } from '#pipelines/engine/dofn';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { parDo } from '#pipelines/model/transforms';

/** An element with what Beam knows about it, as plain data. */
export interface Reified<T> {
  readonly value: T;
  /** Event time, ms. */
  readonly timestamp: number;
  /** Start and end of its window, ms; the end is exclusive. */
  readonly window: readonly [start: number, end: number];
  readonly pane: PaneInfo;
}

/** Makes timestamp, window and pane part of the elements. */
export const reify = <T>(name = 'Reify'): PTransform<PCollection<T>, PCollection<Reified<T>>> =>
  parDo<T, Reified<T>>(
    {
      process(value, context) {
        const { timestamp, window, pane } = context;
        context.output({ value, timestamp, window: [window.start, window.end], pane });
      },
    },
    { name },
  );
