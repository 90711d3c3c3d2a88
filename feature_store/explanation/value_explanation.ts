import type { Feature } from '../definitions/feature.ts';
import type { FeatureView } from '../definitions/feature_view.ts';
import type { EntityKey } from '../definitions/values/entity_key.ts';
import type { FeatureRow, FeatureValue } from '../definitions/values/feature_row.ts';
import type { Fate, FoundEvent, RefusedRow } from './entity_replay.ts';

/** Which value is to be explained. */
export interface ExplanationRequest {
  readonly view: FeatureView;
  readonly feature: string;
  readonly entityKey: EntityKey;
  /** As of which time, ms; undefined: now, as the online store answers. */
  readonly atMs?: number | undefined;
  /** Which of the events are listed, the newest first. */
  readonly page: { readonly offset: number; readonly limit: number };
}

/** Explains a value; undefined where nothing is known of the entity. */
export type ExplainValue = (request: ExplanationRequest) => Promise<ValueExplanation | undefined>;

/** A record that was refused before any view saw it, and why. */
export interface RefusedRecord {
  /** Where it can be read. */
  readonly eventId: string | undefined;
  readonly reason: string;
  readonly stage: string;
  readonly timestamp: string;
}

/** Where events were looked for. */
export interface PlaceRead {
  readonly from: string;
  /** Of the entity. */
  readonly events: number;
  /** What the place does not hold, in words. */
  readonly gaps: readonly string[];
}

/** Everything that is known of an entity's events. */
export interface EntityEvents {
  /** In the order of their arrival. */
  readonly events: readonly FoundEvent[];
  readonly refused: readonly RefusedRecord[];
  readonly places: readonly PlaceRead[];
}

export interface ExplainedEvent
  extends Pick<FoundEvent, 'eventId' | 'eventTimeMs' | 'arrivedAtMs' | 'from' | 'place' | 'traceparent'> {
  /** What it gives: the value that is aggregated, true where events are counted; undefined of features that are no aggregation. */
  readonly contribution: unknown;
}

export interface UncountedEvent extends Pick<FoundEvent, 'eventId' | 'eventTimeMs' | 'arrivedAtMs' | 'from' | 'place'> {
  readonly fate: Fate;
  readonly reason: string;
}

export interface ExplainedTile {
  readonly startMs: number;
  readonly lengthMs: number;
  /** The feature of its events alone. */
  readonly value: FeatureValue;
  readonly events: number;
}

/** A feature with what it was computed from, down to the event fields. */
export interface ExplainedFormula {
  readonly name: string;
  readonly kind: Feature['kind'];
  readonly formula: string;
  readonly value: FeatureValue;
  readonly inputs: readonly ExplainedFormula[];
}

/** The span of event time that the value is of. */
export interface ExplainedWindow {
  readonly fromMs: number;
  /** Included. */
  readonly untilMs: number;
  /** By how much its far edge moves at once, ms; 0 of sessions. */
  readonly stepMs: number;
  readonly tiles: readonly ExplainedTile[];
  /** Events of the span that the feature's filter does not take, or that lack its field. */
  readonly passedOver: number;
}

/** What was predicted with the value. */
export interface UsedBy {
  /** Versions that have the feature as an input, and are in use. */
  readonly models: readonly { readonly name: string; readonly version: number; readonly stage: string }[];
  readonly predictions: readonly {
    readonly predictionId: string;
    readonly requestId: string;
    readonly model: string;
    readonly version: number;
    readonly timeMs: number;
  }[];
}

/** Why a feature has its value. */
export interface ValueExplanation {
  readonly entityKey: EntityKey;
  readonly view: FeatureView;
  readonly feature: string;
  readonly fingerprint: string;
  readonly atMs: number;
  /** What a reader gets; undefined where nothing is stored. */
  readonly served: { readonly value: FeatureValue; readonly row: FeatureRow; readonly from: string } | undefined;
  /** The same, computed from the events that were found; undefined where they give no row. */
  readonly recomputed: { readonly value: FeatureValue; readonly timeMs: number } | undefined;
  /** How they differ, in words; undefined: they are equal. */
  readonly difference: string | undefined;
  readonly formula: ExplainedFormula;
  readonly window: ExplainedWindow | undefined;
  /** A page of those that the value is of, the newest first. */
  readonly events: { readonly total: number; readonly offset: number; readonly items: readonly ExplainedEvent[] };
  /** Those that would have counted, the newest first. */
  readonly uncounted: { readonly total: number; readonly items: readonly UncountedEvent[] };
  /** Refused records that name the entity. */
  readonly refused: readonly RefusedRecord[];
  readonly refusedRow: RefusedRow | undefined;
  readonly places: readonly PlaceRead[];
  readonly usedBy: UsedBy;
}
