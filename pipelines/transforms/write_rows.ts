import type { Producer } from '#connectors/connector';
import {
  DeadLetterWriter,
  type DeadLetterWriterDeps,
  type DeadLetterWriterSettings,
} from '#connectors/dead_letters/dead_letter_writer';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { Delivery, type DeliveryDeps, type Rejected } from '#connectors/delivery';
import { rowJson } from '#feature_store/definitions/values/encode_row';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Clock } from '#kernel/time';
import type { DoFn, FinishBundleContext, ProcessContext } from '#pipelines/engine/dofn';
import { GLOBAL_WINDOW } from '#pipelines/engine/windowing/window';
import type { ComputedRow } from '#pipelines/transforms/compute_features';
import { traceWritten } from '#pipelines/transforms/event_traces';
import type { FeatureMetrics } from '#pipelines/transforms/feature_metrics';

interface RowSinkDeps extends Pick<DeliveryDeps, 'log'> {
  readonly online: Pick<OnlineStore, 'write'>;
  readonly offline: Pick<OfflineStore, 'write'>;
  readonly events: Producer;
  /** Undefined: rows are not published, as when history is computed again. */
  readonly featureEventsTopic: string | undefined;
  readonly metrics: FeatureMetrics;
}

/** A row that a store or the topic would never take. */
interface Refused {
  readonly row: FeatureRow;
  readonly reason: string;
  readonly stage: string;
}

const NOTHING_REFUSED: Promise<readonly Refused[]> = Promise.resolve([]);

/**
 * Writes a bundle's rows to both stores and to the feature-events topic, side by side, while the next bundle is computed. Nothing counts as
 * done before all of it is durable; repeating it changes nothing in the stores, and may repeat records of the topic (whose readers know them by
 * entity and time). A row that one of them refuses for good comes out as a dead letter.
 */
export class WriteRows implements DoFn<ComputedRow, DeadLetter> {
  readonly #deps: RowSinkDeps;
  readonly #deliveries: Readonly<Record<'online' | 'offline' | 'events', Delivery>>;
  #buffer: ComputedRow[] = [];
  /** Writing of the bundle before. */
  #underWay: Promise<readonly Refused[]> = NOTHING_REFUSED;

  constructor(deps: RowSinkDeps) {
    this.#deps = deps;
    const to = (target: string): Delivery =>
      new Delivery({ log: deps.log, metrics: deps.metrics.registry }, { target });
    this.#deliveries = { online: to('online store'), offline: to('offline store'), events: to('feature events') };
  }

  startBundle(): void {
    this.#buffer = [];
  }

  process(element: ComputedRow, _context: ProcessContext<DeadLetter>): void {
    this.#buffer.push(element);
  }

  /** Waits for the rows of the bundle before, and leaves this one's under way. */
  async finishBundle(context: FinishBundleContext<DeadLetter>): Promise<void> {
    const batch = this.#buffer;
    this.#buffer = [];
    await this.complete(context);
    if (batch.length === 0) return;
    this.#underWay = this.#write(batch, context.clock);
    // The caller of complete sees the failure.
    this.#underWay.catch(() => {});
  }

  async complete(context: FinishBundleContext<DeadLetter>): Promise<void> {
    const underWay = this.#underWay;
    this.#underWay = NOTHING_REFUSED;
    for (const { row, reason, stage } of await underWay) {
      this.#deps.metrics.failed.inc({ reason: 'refused' });
      const timestamp = new Date(context.clock.now()).toISOString();
      const letter = { payload: rowJson(row), reason, stage, attempt: 1, timestamp };
      context.outputInWindow(letter, row.eventTime, GLOBAL_WINDOW);
    }
  }

  async teardown(): Promise<void> {
    await this.#underWay.catch(() => {});
  }

  async #write(batch: readonly ComputedRow[], clock: Clock): Promise<readonly Refused[]> {
    const { online, offline, events, featureEventsTopic, metrics } = this.#deps;
    const deliveries = this.#deliveries;
    const beganMs = Date.now();
    const rows = batch.map(({ row }) => row);
    const refused: Refused[] = [];
    const refuse = (stage: string) => (rejected: readonly Rejected<FeatureRow>[]) => {
      for (const { value: row, reason } of rejected) refused.push({ row, reason, stage });
    };
    const publish = (topic: string, part: readonly FeatureRow[]): Promise<unknown> =>
      events.send(
        topic,
        part.map((row) => ({ key: row.entityKey, value: rowJson(row) })),
      );
    await Promise.all([
      deliveries.online.writeAll(rows, (part) => online.write(part)).then(refuse('sink.online_store')),
      deliveries.offline.writeAll(rows, (part) => offline.write(part)).then(refuse('sink.offline_store')),
      featureEventsTopic === undefined
        ? undefined
        : deliveries.events
            .writeAll(rows, (part) => publish(featureEventsTopic, part))
            .then(refuse('sink.feature_events')),
    ]);
    const writtenMs = clock.now();
    for (const { row, receivedAtMs, traceparent, isOfEvent } of batch) {
      if (isOfEvent) metrics.events.inc({ view: viewId(row), outcome: 'written' });
      if (traceparent !== undefined) traceWritten(traceparent, row, beganMs);
      const view = viewId(row);
      if (row.eventTime > (metrics.newestRows.get(view) ?? 0)) metrics.newestRows.set(view, row.eventTime);
      if (receivedAtMs === undefined) continue;
      metrics.endToEndSeconds.observe((writtenMs - receivedAtMs) / 1_000);
      metrics.onEndToEnd(writtenMs - receivedAtMs);
    }
    return refused;
  }
}

/** Writes dead letters to their topic before the bundle commits. */
export class WriteDeadLetters implements DoFn<DeadLetter, never> {
  readonly #writer: DeadLetterWriter;
  readonly #onLetter: ((letter: DeadLetter) => void) | undefined;
  #buffer: DeadLetter[] = [];

  constructor(deps: DeadLetterWriterDeps, settings: DeadLetterWriterSettings, onLetter?: (letter: DeadLetter) => void) {
    this.#writer = new DeadLetterWriter(deps, settings);
    this.#onLetter = onLetter;
  }

  startBundle(): void {
    this.#buffer = [];
  }

  process(element: DeadLetter): void {
    this.#buffer.push(element);
    this.#onLetter?.(element);
  }

  async finishBundle(): Promise<void> {
    const letters = this.#buffer;
    this.#buffer = [];
    if (letters.length > 0) await this.#writer.write(letters);
  }
}
