import { z } from 'zod';
import type { JsonObject } from '#kernel/json';
import { type Follow, followSchema } from '../models/follow.ts';
import { type Experiment, experimentSchema } from './assignment.ts';
import { type Canary, type CanaryProgress, canaryProgressSchema, canarySchema } from './canary.ts';

/** How requests for a model are assigned to its versions. */
export interface Routing {
  readonly experiment?: Experiment | undefined;
  readonly canary?: Canary | undefined;
  readonly shadow?: Follow | undefined;
}

/** Settings of a served model that can be changed at run time as well. */
export const routingSettings = {
  /** Versions that answer side by side. */
  experiment: experimentSchema.optional(),
  /** A version that is tried on a growing share. */
  canary: canarySchema.optional(),
  /** A version that computes along without answering: metrics report how it differs. */
  shadow: followSchema.optional(),
};

/** @returns whether a request would be assigned twice */
export const isSplitTwice = ({ experiment, canary }: Routing): boolean =>
  experiment !== undefined && canary !== undefined;
export const SPLIT_TWICE = 'an experiment and a canary would both assign the requests: configure one of them';

export const routingSchema = z
  .strictObject(routingSettings)
  .refine((routing) => !isSplitTwice(routing), { message: SPLIT_TWICE });

/** What is kept of a change: null takes the routing back to the configuration's. */
export const routingStateSchema = z.strictObject({
  routing: routingSchema.nullable(),
  canary: canaryProgressSchema.optional(),
});
export interface RoutingState {
  readonly routing: Routing | null;
  readonly canary?: CanaryProgress | undefined;
}

/** A change to how requests for a model are assigned to its versions. */
export interface RoutingRow {
  readonly model: string;
  /** Counts from 1; the highest holds. */
  readonly revision: number;
  readonly atMs: number;
  readonly by: string;
  readonly reason: string;
  readonly state: JsonObject;
}

/** Where changes are kept, for every process that serves; the trail of who changed what, and why. */
export interface RoutingStore {
  /** The newest change of each model. */
  read(): Promise<readonly RoutingRow[]>;
  /** @returns false when there is a change of this revision already */
  append(row: RoutingRow): Promise<boolean>;
  /** The newest first. */
  list(model: string, limit: number): Promise<readonly RoutingRow[]>;
}
