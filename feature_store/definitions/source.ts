import type { z } from 'zod';
import type { EventFields } from './feature.ts';

/** What features are about: an account, a user, a card. */
export interface Entity {
  readonly name: string;
  /** Event fields that identify one, in the order they are joined with `|` ({@link joinEntityKey}). */
  readonly joinKeys: readonly string[];
}

export const entity = (name: string, joinKeys: readonly string[]): Entity => ({ name, joinKeys });

/** Returns the key of an entity with several join keys. `\\` and `|` within a value are escaped by `\\`: different values never share a key. */
const joinEntityKey = (values: readonly unknown[]): string =>
  values.map((value) => String(value).replace(/[\\|]/g, '\\$&')).join('|');

/** @returns the entity's key in an event: its join key as it is; several, `|`-joined */
export function entityKeyOf({ joinKeys }: Entity, event: EventFields): string {
  return joinKeys.length === 1
    ? String(event[joinKeys[0] as string])
    : joinEntityKey(joinKeys.map((key) => event[key]));
}

/** Where a source's past lies: files as a file source takes them, oldest first by name, or a query of the offline store's database. */
export type History = { readonly files: readonly [string, ...string[]] } | { readonly query: string };

/** A stream of events, of one type or of several that look alike; or a table of rows that look like them. */
export interface EventSource {
  readonly name: string;
  /** What `event_type` may be. */
  readonly eventTypes: readonly [string, ...string[]];
  /** Strict schema of an event as the client posts it. */
  readonly schema: z.ZodObject;
  readonly schemaVersion: number;
  /** Field with the event's unique id. */
  readonly eventIdField: string;
  /** Field with the event's time: RFC 3339, a string in the schema. */
  readonly timestampField: string;
  /** An event as a client posts it, for documents. */
  readonly example?: EventFields;
  /** The same data as it was: for back-fill, and all there is for views computed in batch. */
  readonly history?: History;
  /** Versions that clients may still send; the gateway upgrades them, so that only the newest reaches pipelines. */
  readonly earlier?: readonly {
    readonly version: number;
    readonly schema: z.ZodObject;
    upgrade(fields: EventFields): EventFields;
  }[];
}

export const eventSource = (source: EventSource): EventSource => source;
