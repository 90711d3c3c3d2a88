import type { EventTime, ProcessingTime } from '#kernel/time';
import type { EntityKey } from './entity_key.ts';

/**
 * A feature's value as definitions, stores and models see it: plain data, by its type (docs/adr/0024). Missing is null, never undefined or NaN. Decimals and
 * timestamps are canonical strings.
 */
export type FeatureValue =
  | number
  | string
  | boolean
  | null
  | bigint
  | Uint8Array
  | Float32Array
  | readonly FeatureValue[]
  | { readonly [field: string]: FeatureValue };

/** What a function of a feature may return: a value in any form that its type takes. A Date is a timestamp. */
export type ComputedValue = FeatureValue | Date;

/** Names one version of a feature view; `toString` form is `fraud@1`. */
export interface ViewReference {
  readonly view: string;
  readonly version: number;
}

export const viewId = ({ view, version }: ViewReference): string => `${view}@${version}`;

/** All features of one view for one entity as of one event time: the unit that stores write. */
export interface FeatureRow extends ViewReference {
  readonly entityKey: EntityKey;
  /** When the values became true in the world: the event's time. Decides which row wins. */
  readonly eventTime: EventTime;
  /** When the platform computed them: `created_at` of the offline store, `computed_at` of the API. */
  readonly computedAt: ProcessingTime;
  readonly values: Readonly<Record<string, FeatureValue>>;
}

/** Whether a row takes the place of another one of its entity: it is of a later event time; of one event time, the one computed later, and of those the one written last. */
export const replaces = (row: FeatureRow, held: FeatureRow): boolean =>
  row.eventTime === held.eventTime ? row.computedAt >= held.computedAt : row.eventTime > held.eventTime;
