import { HOUR_MS } from '#kernel/time';
import type { CodeOptions } from './code_identity.ts';
import type { EventFields } from './sources/source.ts';
import type { ComputedValue, FeatureValue } from './values/feature_row.ts';
import type { FeatureType, ValueOfType } from './values/value_type.ts';

interface Described {
  readonly type: FeatureType;
  readonly description: string;
  /** What the source of its function, or filter, does not show. */
  readonly code?: CodeOptions | undefined;
}

declare const VALUE: unique symbol;

/** A feature whose values TypeScript knows to be `V`. */
export type Valued<F extends Described, V extends FeatureValue> = F & { readonly [VALUE]?: V };

/** What a feature's values are, as far as its definition says. */
export type ValueOf<F> = F extends { readonly [VALUE]?: infer V extends FeatureValue } ? V : FeatureValue;

/** Computed from the event alone. */
export interface EventFeature extends Described {
  readonly kind: 'event';
  /** The one field that it is; undefined: it may look at the whole event. */
  readonly field?: string;
  readonly compute: (event: EventFields, eventTimeMs: number) => ComputedValue;
}

export const AGGREGATIONS = [
  'count',
  'sum',
  'mean',
  'min',
  'max',
  'stddev',
  'variance',
  'distinct',
  'approx_distinct',
  'percentile',
  'top',
  'first',
  'last',
] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

/** Decides which events an aggregation sees. */
export type EventFilter = (event: EventFields) => boolean;

/** Computed over the entity's events of the last `windowMs`, this one included. */
export interface WindowFeature extends Described {
  readonly kind: 'window';
  readonly aggregation: Aggregation;
  /** The event field aggregated, or a feature of single events; undefined for count. */
  readonly field: string | undefined;
  /** Which events; undefined: all. */
  readonly where?: EventFilter | undefined;
  /** `percentile`: the quantile, 0 to 1. `top`, `first`, `last`: how many values. */
  readonly parameter?: number | undefined;
  readonly windowMs: number;
}

/** Computed from the entity's session: events with less than `gapMs` between one and the next. */
export interface SessionFeature extends Described {
  readonly kind: 'session';
  /** `events` and `duration_seconds` are of the current session, and 0 when there is none. */
  readonly measure: 'is_active' | 'events' | 'duration_seconds';
  readonly gapMs: number;
}

/** Computed from other features and the time at which they are looked at: again at each read, for the time of reading. */
export interface AsOfFeature extends Described {
  readonly kind: 'as_of';
  readonly inputs: readonly string[];
  readonly compute: (values: Readonly<Record<string, FeatureValue>>, asOfMs: number) => ComputedValue;
}

/** Computed from the event and the newest earlier one of the same entity. */
export interface PreviousEventFeature extends Described {
  readonly kind: 'previous';
  readonly compute: (
    event: EventFields,
    eventTimeMs: number,
    previous: { readonly event: EventFields; readonly eventTimeMs: number } | undefined,
  ) => ComputedValue;
}

/** Computed from other features of the same row. */
export interface ExpressionFeature extends Described {
  readonly kind: 'expression';
  readonly inputs: readonly string[];
  readonly compute: (values: Readonly<Record<string, FeatureValue>>) => ComputedValue;
}

/** A feature of a view, of any kind. */
export type Feature =
  | EventFeature
  | WindowFeature
  | SessionFeature
  | PreviousEventFeature
  | ExpressionFeature
  | AsOfFeature;

/** Defines a feature: the event's own field. */
export const field = <T extends FeatureType>(
  name: string,
  type: T,
  description: string,
): Valued<EventFeature, ValueOfType<T> | null> => ({
  kind: 'event',
  field: name,
  type,
  description,
  compute: (event) => (event[name] ?? null) as FeatureValue,
  code: { uses: { name } },
});

/** Returns the hour of the event in UTC, 0–23. */
export const hourOfDay = (): Valued<EventFeature, number> => ({
  kind: 'event',
  type: 'long',
  description: 'Hour of the event, UTC, 0 to 23',
  compute: (_, eventTimeMs) => new Date(eventTimeMs).getUTCHours(),
});

/** Returns whether the event is of a Saturday or Sunday, in UTC. */
export const isWeekend = (): Valued<EventFeature, boolean> => ({
  kind: 'event',
  type: 'boolean',
  description: 'Whether the event is on a Saturday or Sunday, UTC',
  compute: (_, eventTimeMs) => new Date(eventTimeMs).getUTCDay() % 6 === 0,
});

/** Returns the day of the week: 0 is Monday, 6 is Sunday (ISO 8601 less one), in UTC. */
export const dayOfWeek = (): Valued<EventFeature, number> => ({
  kind: 'event',
  type: 'long',
  description: 'Day of the event, UTC, 0 Monday to 6 Sunday',
  compute: (_, eventTimeMs) => (new Date(eventTimeMs).getUTCDay() + 6) % 7,
});

/** Defines a feature that is computed from the event's fields and time. */
export const fromEvent = <T extends FeatureType>(
  type: T,
  description: string,
  compute: EventFeature['compute'],
  code?: CodeOptions,
): Valued<EventFeature, ValueOfType<T> | null> => ({ kind: 'event', type, description, compute, code });

/** Computes a feature from other features and the time at which it is read. */
export const asOf = <T extends FeatureType>(
  inputs: readonly string[],
  type: T,
  description: string,
  compute: AsOfFeature['compute'],
  code?: CodeOptions,
): Valued<AsOfFeature, ValueOfType<T> | null> => ({ kind: 'as_of', inputs, type, description, compute, code });

/** Computes a feature from an event and the entity's event before it. */
export const sincePrevious = <T extends FeatureType>(
  type: T,
  description: string,
  compute: PreviousEventFeature['compute'],
  code?: CodeOptions,
): Valued<PreviousEventFeature, ValueOfType<T> | null> => ({ kind: 'previous', type, description, compute, code });

/** Computes a feature from other features of the same row. */
export const expression = <T extends FeatureType>(
  inputs: readonly string[],
  type: T,
  description: string,
  compute: ExpressionFeature['compute'],
  code?: CodeOptions,
): Valued<ExpressionFeature, ValueOfType<T> | null> => ({
  kind: 'expression',
  inputs,
  type,
  description,
  compute,
  code,
});

/** Up to so many values of `first` and `last` are kept together with those of other features of the same field; more are a sequence of their own. */
export const MOST_ENDS = 10;
/** `first` and `last` reach no further. */
export const LONGEST_SEQUENCE = 128;
export const LARGEST_TOP = 100;

/** Longest window any view may have. */
export const LONGEST_WINDOW_MS = 366 * 24 * HOUR_MS;
