import { type Duration, durationMs } from '#kernel/times/duration';
import type { CodeOptions } from './code_identity.ts';
import {
  type Aggregation,
  type EventFilter,
  type ExpressionFeature,
  expression,
  type SessionFeature,
  type Valued,
  type WindowFeature,
} from './feature.ts';
import type { FeatureValue } from './values/feature_row.ts';
import { array, type DecimalType, type FeatureType, type ValueOfType } from './values/value_type.ts';

/** Several windows of one aggregation. */
export interface Windowed<Base extends string, V extends FeatureValue = FeatureValue> {
  /** As features named `count_1h`, `sum_amount_24h`, …; with `as`, `<as>_1h`, … */
  over<W extends Duration>(...windows: readonly W[]): Readonly<Record<`${Base}_${W}`, Valued<WindowFeature, V>>>;
}

/** `uses` and `version` are those of the filter. */
export interface AggregateOptions<As extends string> extends CodeOptions {
  /** Which events count. */
  readonly where?: EventFilter;
  /** The features' names, before the window; needed with `where`. */
  readonly as?: As;
  /** What is aggregated, for descriptions: `Purchases`. */
  readonly what?: string;
}

interface Aggregated {
  readonly aggregation: Aggregation;
  readonly field?: string;
  readonly type: FeatureType;
  readonly what: string;
  readonly parameter?: number;
}

/** @param base - the features' names, before the window, unless the options say otherwise */
function windowed<Base extends string, V extends FeatureValue>(
  base: string,
  { aggregation, field, type, what, parameter }: Aggregated,
  options: AggregateOptions<Base>,
): Windowed<Base, V> {
  const { where, as = base, uses, version } = options;
  const code = uses === undefined && version === undefined ? undefined : { uses, version };
  return {
    over: <W extends Duration>(...windows: readonly W[]) =>
      Object.fromEntries(
        windows.map((window) => [
          `${as}_${window}`,
          {
            kind: 'window',
            type,
            description: `${options.what ?? what} over the last ${window}`,
            aggregation,
            field,
            where,
            code,
            parameter,
            windowMs: durationMs(window),
          },
        ]),
      ) as unknown as Readonly<Record<`${Base}_${W}`, Valued<WindowFeature, V>>>,
  };
}

/** Types that are added up and compared without rounding, and doubles. */
type NumberType = 'double' | 'long' | 'int64' | DecimalType;

/** `type`: of the field, and of what is computed; `int64` and decimals are exact. Default: double. */
type ExactOptions<As extends string, T extends NumberType> = AggregateOptions<As> & { readonly type?: T };

const overExactField =
  <A extends 'sum' | 'min' | 'max', Missing extends null | never>(aggregation: A, what: string) =>
  <Field extends string, As extends string = `${A}_${Field}`, T extends NumberType = 'double'>(
    field: Field,
    options: ExactOptions<As, T> = {},
  ): Windowed<As, ValueOfType<T> | Missing> =>
    windowed(
      `${aggregation}_${field}`,
      { aggregation, field, type: options.type ?? 'double', what: `${what} ${field}` },
      options,
    );

const overField =
  <A extends Aggregation, V extends number | null>(aggregation: A, type: FeatureType, what: string) =>
  <Field extends string, As extends string = `${A}_${Field}`>(
    field: Field,
    options: AggregateOptions<As> = {},
  ): Windowed<As, V> =>
    windowed(`${aggregation}_${field}`, { aggregation, field, type, what: `${what} ${field}` }, options);

/** Counts the entity's events of a window. */
export const count = <As extends string = 'count'>(options: AggregateOptions<As> = {}): Windowed<As, number> =>
  windowed('count', { aggregation: 'count', type: 'long', what: 'Number of events' }, options);
/** Adds up a field: exact until it is read, whatever the order of events: doubles are rounded once. A sum beyond its type is a failure of the event. */
export const sum = overExactField<'sum', never>('sum', 'Sum of');
/** Computes the mean of a field over a window; null of no events. */
export const mean = overField<'mean', number | null>('mean', 'double', 'Mean of');
/** Finds the smallest value of a field in a window; null of no events. */
export const min = overExactField<'min', null>('min', 'Smallest');
/** Finds the largest value of a field in a window; null of no events. */
export const max = overExactField<'max', null>('max', 'Largest');
/** Computes the population standard deviation; 0 for a single event. */
export const stddev = overField<'stddev', number>('stddev', 'double', 'Standard deviation of');
/** Computes the population variance; 0 for a single event. */
export const variance = overField<'variance', number>('variance', 'double', 'Variance of');
/** Counts distinct values exactly; memory grows with how many there are. */
export const distinct = overField<'distinct', number>('distinct', 'long', 'Distinct values of');
/** Estimates the number of distinct values by HyperLogLog, standard error 3.25 %; exact up to 128. */
export const approxDistinct = overField<'approx_distinct', number>(
  'approx_distinct',
  'long',
  'Distinct values, approximately, of',
);

/** Estimates a percentile by t-digest; exact up to 256 values. @param q - 0 to 1, in the name as per cent: `p95_amount_1h` */
export const percentile = <Field extends string, As extends string = `p${string}_${Field}`>(
  field: Field,
  q: number,
  options: AggregateOptions<As> = {},
): Windowed<As, number | null> =>
  windowed(
    `p${Math.round(q * 1_000) / 10}_${field}`.replace('.', '_'),
    { aggregation: 'percentile', field, type: 'double', what: `${q * 100}th percentile of ${field}`, parameter: q },
    options,
  );

const ofValues =
  <A extends 'top' | 'first' | 'last'>(aggregation: A, what: string) =>
  <
    Field extends string,
    T extends FeatureType,
    N extends number = 1,
    As extends string = N extends 1 ? `${A}_${Field}` : `${A}_${N}_${Field}`,
  >(
    field: Field,
    type: T,
    n?: N,
    options: AggregateOptions<As> = {},
  ): Windowed<As, N extends 1 ? ValueOfType<T> | null : readonly ValueOfType<T>[]> => {
    const [parameter, single] = [n ?? 1, (n ?? 1) === 1];
    return windowed(
      single ? `${aggregation}_${field}` : `${aggregation}_${parameter}_${field}`,
      { aggregation, field, type: single ? type : array(type), what: `${what} ${field}`, parameter },
      options,
    );
  };

/** Keeps the most frequent values; ties go to the smaller text. Several are a list, the most frequent first. */
export const top = ofValues('top', 'Most frequent');
/** Keeps the earliest values. Several are a list, the earliest first. */
export const first = ofValues('first', 'First');
/** Keeps the newest values. Several are a list, the newest first. */
export const last = ofValues('last', 'Last');

/** Divides one windowed feature by another, window by window; null where the second is 0. Both must be of the view, under these names. */
export const ratio = <Name extends string>(name: Name, of: string, to: string, description: string) => ({
  over: <W extends Duration>(...windows: readonly W[]) =>
    Object.fromEntries(
      windows.map((window) => {
        const inputs = [`${of}_${window}`, `${to}_${window}`] as const;
        const compute: ExpressionFeature['compute'] = (values) =>
          Number(values[inputs[1]]) === 0 ? null : Number(values[inputs[0]]) / Number(values[inputs[1]]);
        return [
          `${name}_${window}`,
          expression(inputs, 'double', `${description}, last ${window}`, compute, { uses: { inputs } }),
        ];
      }),
    ) as unknown as Readonly<Record<`${Name}_${W}`, Valued<ExpressionFeature, number | null>>>,
});

/** Adds `is_active_session`, `session_event_count` and `session_duration_seconds`. */
export const session = (gap: Duration) => {
  const gapMs = durationMs(gap);
  const feature = <T extends FeatureType>(
    measure: SessionFeature['measure'],
    type: T,
    description: string,
  ): Valued<SessionFeature, ValueOfType<T>> => ({
    kind: 'session',
    measure,
    gapMs,
    type,
    description,
  });
  return {
    is_active_session: feature('is_active', 'boolean', `Whether there was an event in the last ${gap}`),
    session_event_count: feature('events', 'long', `Events of the current session (gap ${gap}); 0 when there is none`),
    session_duration_seconds: feature('duration_seconds', 'double', `Length of the current session (gap ${gap})`),
  } satisfies Record<string, SessionFeature>;
};
