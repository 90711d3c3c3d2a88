import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { ViewReference } from '#feature_store/definitions/values/feature_row';
import type { EventTime, ProcessingTime } from '#kernel/time';

/** How far two embeddings are apart; nearer ones have smaller distances: 1 less the cosine, the Euclidean distance, or the negative inner product. */
export const METRICS = ['cosine', 'l2', 'inner_product'] as const;
export type Metric = (typeof METRICS)[number];

export interface EmbeddingQuery extends ViewReference {
  readonly feature: string;
  readonly vector: Float32Array;
  readonly metric: Metric;
  /** At most so many are found. */
  readonly limit: number;
  /** Older embeddings do not count; undefined: all do. */
  readonly oldest?: EventTime | undefined;
  /** Whose own is left out. */
  readonly except?: EntityKey | undefined;
}

export interface Neighbour {
  readonly entityKey: EntityKey;
  readonly eventTime: EventTime;
  readonly computedAt: ProcessingTime;
  readonly distance: number;
}

/** Finds the entities whose newest embeddings are nearest to a vector. */
export interface EmbeddingSearch {
  /** Returns the nearest first, all embeddings of the feature compared; those that have no distance, as a zero vector has no cosine, are left out. */
  search(query: EmbeddingQuery): Promise<readonly Neighbour[]>;
}
