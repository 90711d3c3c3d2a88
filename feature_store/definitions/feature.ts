import { type Duration, durationMs } from '#kernel/duration';
import { HOUR_MS } from '#kernel/time';
import type { FeatureValue } from './feature_row.ts';

export type FeatureType = 'double' | 'long' | 'boolean' | 'string';

/** The validated event a feature is computed from. */
export type EventFields = Readonly<Record<string, unknown>>;

interface Described {
  readonly type: FeatureType;
  readonly description: string;
}

/** Computed from the event alone. */
export interface EventFeature extends Described {
  readonly kind: 'event';
  readonly compute: (event: EventFields, eventTimeMs: number) => FeatureValue;
}

export type Aggregation = 'count' | 'sum' | 'mean' | 'min' | 'max' | 'stddev' | 'distinct';

/** Computed over the entity's events of the last `windowMs`, this one included. */
export interface WindowFeature extends Described {
  readonly kind: 'window';
  readonly aggregation: Aggregation;
  /** The event field aggregated; undefined for count. */
  readonly field: string | undefined;
  readonly windowMs: number;
}

/** Computed from the event and the newest earlier one of the same entity. */
export interface PreviousEventFeature extends Described {
  readonly kind: 'previous';
  readonly compute: (
    event: EventFields,
    eventTimeMs: number,
    previous: { readonly event: EventFields; readonly eventTimeMs: number } | undefined,
  ) => FeatureValue;
}

/** Computed from other features of the same row. */
export interface ExpressionFeature extends Described {
  readonly kind: 'expression';
  readonly inputs: readonly string[];
  readonly compute: (values: Readonly<Record<string, FeatureValue>>) => FeatureValue;
}

export type Feature = EventFeature | WindowFeature | PreviousEventFeature | ExpressionFeature;

/** The event's own field. */
export const field = (name: string, type: FeatureType, description: string): EventFeature => ({
  kind: 'event',
  type,
  description,
  compute: (event) => (event[name] ?? null) as FeatureValue,
});

/** Hour of the event in UTC, 0–23. */
export const hourOfDay = (): EventFeature => ({
  kind: 'event',
  type: 'long',
  description: 'Hour of the event, UTC, 0 to 23',
  compute: (_, eventTimeMs) => new Date(eventTimeMs).getUTCHours(),
});

/** Saturday or Sunday in UTC. */
export const isWeekend = (): EventFeature => ({
  kind: 'event',
  type: 'boolean',
  description: 'Whether the event is on a Saturday or Sunday, UTC',
  compute: (_, eventTimeMs) => new Date(eventTimeMs).getUTCDay() % 6 === 0,
});

export const sincePrevious = (
  type: FeatureType,
  description: string,
  compute: PreviousEventFeature['compute'],
): PreviousEventFeature => ({ kind: 'previous', type, description, compute });

export const expression = (
  inputs: readonly string[],
  type: FeatureType,
  description: string,
  compute: ExpressionFeature['compute'],
): ExpressionFeature => ({ kind: 'expression', inputs, type, description, compute });

interface Windowed {
  /** The aggregation over each of `windows`, as features named `count_1h`, `sum_amount_24h`, … */
  over<W extends Duration>(...windows: readonly W[]): Readonly<Record<string, WindowFeature>>;
}

function windowed(aggregation: Aggregation, fieldName: string | undefined, type: FeatureType, what: string): Windowed {
  return {
    over: (...windows) =>
      Object.fromEntries(
        windows.map((window) => {
          const name = [aggregation, fieldName, window].filter((part) => part !== undefined).join('_');
          const description = `${what} over the last ${window}`;
          const feature: WindowFeature = {
            kind: 'window',
            type,
            description,
            aggregation,
            field: fieldName,
            windowMs: durationMs(window),
          };
          return [name, feature];
        }),
      ),
  };
}

export const count = (): Windowed => windowed('count', undefined, 'long', 'Number of events');
export const sum = (name: string): Windowed => windowed('sum', name, 'double', `Sum of ${name}`);
export const mean = (name: string): Windowed => windowed('mean', name, 'double', `Mean of ${name}`);
export const min = (name: string): Windowed => windowed('min', name, 'double', `Smallest ${name}`);
export const max = (name: string): Windowed => windowed('max', name, 'double', `Largest ${name}`);
/** Population standard deviation; 0 for a single event. */
export const stddev = (name: string): Windowed => windowed('stddev', name, 'double', `Standard deviation of ${name}`);
export const distinct = (name: string): Windowed => windowed('distinct', name, 'long', `Distinct values of ${name}`);

/** Longest window any view may have. */
export const LONGEST_WINDOW_MS = 31 * 24 * HOUR_MS;
