import { MAX_EVENT_TIME } from '#kernel/time';
import type { TestStreamEvent } from '#pipelines/engine/plan';
import type { PCollection, PipelineRoot, PTransform } from '#pipelines/model/pcollection';
import { testStreamTransform } from '#pipelines/model/test_stream';

/**
 * A scripted source: elements, watermark and processing time in the order of a test. Runs wherever Beam's TestStream
 * does: here, on Prism and on Flink.
 *
 * ```ts
 * root.apply(testStream<string>().add(['a', 1_000]).advanceWatermarkTo(10_000).advanceProcessingTime(60_000).toInfinity())
 * ```
 */
export class TestStreamBuilder<T> {
  readonly #events: TestStreamEvent[] = [];
  #watermark = Number.NEGATIVE_INFINITY;

  /** Elements with their event times, ms. */
  add(...elements: readonly (readonly [value: T, timestamp: number])[]): this {
    this.#events.push({ kind: 'elements', elements: elements.map(([value, timestamp]) => ({ value, timestamp })) });
    return this;
  }

  /** @throws RangeError when the watermark would move backwards */
  advanceWatermarkTo(to: number): this {
    if (to < this.#watermark) throw new RangeError(`the watermark cannot go back from ${this.#watermark} to ${to}`);
    this.#watermark = to;
    this.#events.push({ kind: 'watermark', to });
    return this;
  }

  advanceProcessingTime(byMs: number): this {
    if (!(byMs > 0)) throw new RangeError(`processing time advances by more than 0 ms, not ${byMs}`);
    this.#events.push({ kind: 'processingTime', advanceMs: byMs });
    return this;
  }

  /** Ends the script: nothing comes any more. */
  toInfinity(name = 'TestStream'): PTransform<PipelineRoot, PCollection<T>> {
    return testStreamTransform<T>([...this.#events, { kind: 'watermark', to: MAX_EVENT_TIME }], name);
  }
}

/** Makes a source whose elements, watermark and processing time a test decides. */
export const testStream = <T>(): TestStreamBuilder<T> => new TestStreamBuilder<T>();
