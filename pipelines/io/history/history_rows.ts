import type { ReadRow } from '#connectors/files/formats';
import { type EventTime, eventTime, MIN_EVENT_TIME } from '#kernel/time';

/** The element, and its event time when it has one. `watermark`: rows older than that are late; `placeOf` names the row in messages. */
export type DecodeHistory<T> = (
  row: ReadRow,
  path: string | undefined,
  watermark: EventTime,
  placeOf?: () => string,
) => { readonly element: T; readonly eventTimeMs: number | undefined };

interface Output<T> {
  output(element: T, timestamp: EventTime): void;
  advanceWatermark(watermark: EventTime): void;
}

interface Settings<T> {
  readonly decode: DecodeHistory<T>;
  /** The file the rows are of; undefined for those of a query. */
  readonly path: string | undefined;
  /** A row may be so much older than the newest before it. */
  readonly outOfOrderMs: number;
  readonly placeOf?: (index: number) => string;
}

/**
 * Outputs rows in the order they come, as a topic would have brought them: the watermark follows their times.
 *
 * @param newestBefore - newest time of earlier rows, ms
 * @returns the newest time now
 */
export function outputHistory<T>(
  rows: readonly ReadRow[],
  newestBefore: number,
  { decode, path, outOfOrderMs, placeOf }: Settings<T>,
  context: Output<T>,
): number {
  let newest = newestBefore;
  const watermark = (): EventTime =>
    newest === Number.NEGATIVE_INFINITY ? MIN_EVENT_TIME : eventTime(newest - outOfOrderMs);
  for (const [index, row] of rows.entries()) {
    const before = watermark();
    const place = placeOf === undefined ? undefined : (): string => placeOf(index);
    const { element, eventTimeMs } = decode(row, path, before, place);
    if (eventTimeMs !== undefined && eventTimeMs > newest) newest = eventTimeMs;
    context.output(element, eventTimeMs === undefined ? before : eventTime(eventTimeMs));
  }
  if (newest > Number.NEGATIVE_INFINITY) context.advanceWatermark(watermark());
  return newest;
}
