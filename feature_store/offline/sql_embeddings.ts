import type { Feature } from '#feature_store/definitions/feature';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces, viewId } from '#feature_store/definitions/values/feature_row';
import { eventTime, isoTime, processingTime } from '#kernel/time';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type { EmbeddingQuery, EmbeddingSearch, Metric, Neighbour } from './embedding_search.ts';

// The newest embeddings of entities, in SQL: kept beside feature_rows, which holds their history.

const ROWS_A_STATEMENT = 500;

const UPSERT = `INSERT INTO feature_embeddings AS held (view, version, feature, entity_key, event_time, computed_at, embedding)
  SELECT view, version, feature, entity_key, event_time, computed_at, embedding
  FROM jsonb_to_recordset($1::jsonb) AS sent(
    view text, version integer, feature text, entity_key text, event_time timestamptz, computed_at timestamptz, embedding real[]
  )
  ORDER BY view, version, feature, entity_key
  ON CONFLICT (view, version, feature, entity_key) DO UPDATE
  SET event_time = excluded.event_time, computed_at = excluded.computed_at, embedding = excluded.embedding
  WHERE (excluded.event_time, excluded.computed_at) >= (held.event_time, held.computed_at)`;

/** Writes what rows of views hold of embeddings. */
export class EmbeddingWriter {
  readonly #sql: SqlExecutor;
  readonly #features: ReadonlyMap<string, readonly string[]>;

  private constructor(sql: SqlExecutor, features: ReadonlyMap<string, readonly string[]>) {
    this.#sql = sql;
    this.#features = features;
  }

  /** Returns the writer of these views' embeddings; undefined where they have none. */
  static of(sql: SqlExecutor, views: readonly FeatureView[]): EmbeddingWriter | undefined {
    const features = views.flatMap((view) => {
      const found = Object.entries<Feature>(view.features).filter(([, { type }]) => type.startsWith('embedding('));
      return found.length === 0 ? [] : [[viewId(view), found.map(([name]) => name)] as const];
    });
    return features.length === 0 ? undefined : new EmbeddingWriter(sql, new Map(features));
  }

  /** @param names - the features that were written; undefined: all */
  async write(rows: Iterable<FeatureRow>, names?: readonly string[]): Promise<void> {
    const newest = new Map<string, { readonly row: FeatureRow; readonly feature: string }>();
    for (const row of rows) {
      for (const feature of this.#features.get(viewId(row)) ?? []) {
        if (names !== undefined && !names.includes(feature)) continue;
        const key = `${viewId(row)} ${feature} ${row.entityKey}`;
        const held = newest.get(key);
        if (held === undefined || replaces(row, held.row)) newest.set(key, { row, feature });
      }
    }
    // In the order of their keys: writers in other processes wait for each other, and not in a circle.
    const list = [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
    for (let start = 0; start < list.length; start += ROWS_A_STATEMENT) {
      const batch = list.slice(start, start + ROWS_A_STATEMENT).map(({ row, feature }) => {
        const value = row.values[feature];
        return {
          ...{ view: row.view, version: row.version, feature, entity_key: row.entityKey },
          ...{ event_time: isoTime(row.eventTime), computed_at: isoTime(row.computedAt) },
          embedding: value instanceof Float32Array ? Array.from(value) : null,
        };
      });
      await this.#sql.query(UPSERT, [JSON.stringify(batch)]);
    }
  }
}

/** In SQL alone, with doubles. */
const DISTANCES: Readonly<Record<Metric, string>> = {
  // greatest and least leave out what is null.
  cosine: `CASE WHEN sum(a * a) > 0 AND sum(b * b) > 0
    THEN 1 - greatest(-1, least(1, sum(a * b) / (sqrt(sum(a * a)) * sqrt(sum(b * b))))) END`,
  l2: 'sqrt(sum((a - b) * (a - b)))',
  inner_product: '-sum(a * b)',
};

/** With the extension pgvector. */
const OPERATORS: Readonly<Record<Metric, string>> = { cosine: '<=>', l2: '<->', inner_product: '<#>' };

const distanceOf = (metric: Metric, dimension: number, hasPgvector: boolean): string =>
  hasPgvector
    ? `(SELECT nullif((e.embedding::vector(${dimension}) ${OPERATORS[metric]} $4::double precision[]::vector(${dimension}))::double precision, 'NaN') AS distance)`
    : `(SELECT ${DISTANCES[metric]} AS distance
       FROM (SELECT x::double precision AS a, y AS b FROM unnest(e.embedding, $4::double precision[]) AS pairs(x, y)) parts)`;

interface StoredNeighbour {
  readonly entity_key: EntityKey;
  readonly at: string;
  readonly computed: string;
  readonly distance: number;
}

/** Compares all embeddings of a feature: in C where pgvector is installed, in SQL elsewhere. */
export function sqlEmbeddingSearch(sql: SqlExecutor): EmbeddingSearch {
  const hasPgvector = async (): Promise<boolean> =>
    (await sql.query("SELECT 1 FROM pg_extension WHERE extname = 'vector'")).length > 0;
  return {
    async search({ view, version, feature, vector, metric, limit, oldest, except }: EmbeddingQuery) {
      const distance = distanceOf(metric, vector.length, await hasPgvector());
      const rows = await sql.query<StoredNeighbour>(
        `WITH known AS MATERIALIZED (
           SELECT * FROM feature_embeddings
           WHERE view = $1 AND version = $2 AND feature = $3 AND ($5::timestamptz IS NULL OR event_time >= $5) AND entity_key IS DISTINCT FROM $6
             AND cardinality(embedding) = $7
         )
         SELECT e.entity_key, (extract(epoch FROM e.event_time) * 1000)::bigint::text AS at,
                (extract(epoch FROM e.computed_at) * 1000)::bigint::text AS computed, d.distance
         FROM known e CROSS JOIN LATERAL ${distance} d
         WHERE d.distance IS NOT NULL
         ORDER BY d.distance, e.entity_key
         LIMIT $8`,
        [
          view,
          version,
          feature,
          Array.from(vector),
          oldest === undefined ? null : new Date(oldest),
          except ?? null,
          vector.length,
          limit,
        ],
      );
      return rows.map(
        ({ entity_key: entityKey, at, computed, distance: far }): Neighbour => ({
          ...{ entityKey, distance: far },
          eventTime: eventTime(Number(at)),
          computedAt: processingTime(Number(computed)),
        }),
      );
    },
  };
}
