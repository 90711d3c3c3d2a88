import { bulkhead } from 'cockatiel';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { Delivery, type DeliveryDeps, type DeliverySettings } from '#connectors/delivery';
import type { EventTime } from '#kernel/time';
import type { BoundedWindow, DoFn, FinishBundleContext, ProcessContext } from '#pipelines/engine/dofn';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { parDo } from '#pipelines/model/transforms';

export interface SinkSettings<T> extends DeliverySettings {
  /** Writes a batch, all or nothing; writing values again must change nothing. */
  readonly write: (batch: readonly T[]) => Promise<unknown>;
  /** What a dead letter shows of a value. */
  readonly payloadOf?: (value: T) => string;
  /** Largest batch. */
  readonly maxRecords?: number;
  /** What a value takes, about; with `maxBytes`. */
  readonly bytesOf?: (value: T) => number;
  /** A batch that would grow larger goes out before; one value may be. */
  readonly maxBytes?: number;
  /** Batches under way at once; more waits. */
  readonly maxInFlight?: number;
}

const MAX_RECORDS = 500;
const MAX_IN_FLIGHT = 4;

interface Buffered<T> {
  readonly value: T;
  readonly timestamp: EventTime;
  readonly window: BoundedWindow;
}

/**
 * Writes a collection to a store or topic, in batches by count and bytes, and at the end of a bundle, several at once. The bundle ends when all of it is written; outages are
 * waited out. Values that the target refuses for good come out as dead letters.
 */
export function writeTo<T>(
  deps: DeliveryDeps,
  settings: SinkSettings<T>,
): PTransform<PCollection<T>, PCollection<DeadLetter>> {
  return parDo<T, DeadLetter>(new BatchingSink(deps, settings), { name: `Write to ${settings.target}` });
}

class BatchingSink<T> implements DoFn<T, DeadLetter> {
  readonly #settings: SinkSettings<T>;
  readonly #delivery: Delivery;
  readonly #inFlight: ReturnType<typeof bulkhead>;
  #buffer: Buffered<T>[] = [];
  #bytes = 0;
  #underWay = new Set<Promise<void>>();
  #refused: { readonly buffered: Buffered<T>; readonly reason: string }[] = [];
  #failure: unknown;

  constructor(deps: DeliveryDeps, settings: SinkSettings<T>) {
    this.#settings = settings;
    this.#delivery = new Delivery(deps, settings);
    this.#inFlight = bulkhead(settings.maxInFlight ?? MAX_IN_FLIGHT, Number.POSITIVE_INFINITY);
  }

  startBundle(): void {
    this.#buffer = [];
    this.#bytes = 0;
    this.#underWay = new Set();
    this.#refused = [];
    this.#failure = undefined;
  }

  process(value: T, { timestamp, window }: ProcessContext<DeadLetter>): void | Promise<void> {
    const { maxRecords = MAX_RECORDS, maxBytes = Number.POSITIVE_INFINITY, bytesOf } = this.#settings;
    const bytes = bytesOf?.(value) ?? 0;
    const isFull = this.#buffer.length > 0 && this.#bytes + bytes > maxBytes;
    const flushed = isFull ? this.#flush() : undefined;
    this.#buffer.push({ value, timestamp, window });
    this.#bytes += bytes;
    return this.#buffer.length >= maxRecords ? this.#flush() : flushed;
  }

  /** Resolves when the batch is written, or has failed. */
  #flush(): Promise<void> {
    const batch = this.#buffer;
    this.#buffer = [];
    this.#bytes = 0;
    const { write } = this.#settings;
    const writing = this.#inFlight
      .execute(() => this.#delivery.writeAll(batch, (part) => write(part.map(({ value }) => value))))
      .then(
        (rejected) => {
          for (const { value: buffered, reason } of rejected) this.#refused.push({ buffered, reason });
        },
        (error: unknown) => {
          this.#failure ??= error;
        },
      )
      .finally(() => this.#underWay.delete(writing));
    this.#underWay.add(writing);
    return writing;
  }

  async finishBundle(context: FinishBundleContext<DeadLetter>): Promise<void> {
    if (this.#buffer.length > 0) void this.#flush();
    await Promise.all(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
    const { target, payloadOf = JSON.stringify } = this.#settings;
    for (const { buffered, reason } of this.#refused) {
      const letter: DeadLetter = {
        payload: payloadOf(buffered.value),
        reason,
        stage: `sink.${target}`,
        attempt: 1,
        timestamp: new Date(context.clock.now()).toISOString(),
      };
      context.outputInWindow(letter, buffered.timestamp, buffered.window);
    }
  }
}
