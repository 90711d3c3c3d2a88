import type { z } from 'zod';

/** The validated event a feature is computed from. */
export type EventFields = Readonly<Record<string, unknown>>;

/** What a join key may hold, by the source's schema. */
export type JoinKeyType = 'string' | 'number' | 'bigint' | 'boolean';

/** What features are about: an account, a user, a card. */
export interface Entity {
  /** Lower-case letters, digits and `_`: what its keys begin with (`feature_store/definitions/entity_key.ts`). */
  readonly name: string;
  /** Event fields that identify one, in order. */
  readonly joinKeys: readonly string[];
}

/** Names an entity, and the fields that identify one. */
export const entity = (name: string, joinKeys: readonly string[]): Entity => ({ name, joinKeys });

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
    /** What the source of `upgrade` does not show: captured variables and helpers, by name. */
    readonly uses?: Readonly<Record<string, unknown>>;
  }[];
}

export const eventSource = (source: EventSource): EventSource => source;
