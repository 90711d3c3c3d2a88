import { upsertStatement } from '#connectors/postgres/upsert';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type {
  NamedPrediction,
  NewPrediction,
  PredictionFilter,
  PredictionPage,
  PredictionRow,
  PredictionStore,
  RequestRow,
  VersionCount,
} from './prediction_store.ts';

// What was predicted, in SQL.

const TYPES = {
  ...{ request_id: 'text', row_index: 'integer', model_name: 'text', model_version: 'integer', entity_key: 'text' },
  ...{ features: 'jsonb', prediction: 'text', probabilities: 'jsonb', predicted_at: 'timestamptz' },
  ...{ variant: 'text', experiment: 'text', prediction_id: 'text' },
};
const INSERT_PREDICTIONS = upsertStatement({
  table: 'predictions',
  columns: Object.keys(TYPES),
  key: ['prediction_id', 'row_index'],
  source: 'jsonb_to_recordset($1::jsonb)',
  types: TYPES,
  replace: 'never',
});

/** JSON of a row in which the features' text stands as it came. */
export function withFeatures(row: object, features: NewPrediction['features']): string {
  const text = typeof features === 'string' ? features : JSON.stringify(features);
  return `${JSON.stringify(row).slice(0, -1)},"features":${text}}`;
}

async function writePredictions(sql: SqlExecutor, rows: readonly NewPrediction[]): Promise<void> {
  const batch = rows.map((row) =>
    withFeatures(
      {
        request_id: row.requestId,
        prediction_id: row.predictionId,
        row_index: row.rowIndex,
        model_name: row.modelName,
        model_version: row.modelVersion,
        entity_key: row.entityKey ?? null,
        prediction: row.prediction,
        probabilities: row.probabilities ?? null,
        predicted_at: new Date(row.predictedAtMs),
        variant: row.variant ?? null,
        experiment: row.experiment ?? null,
      },
      row.features,
    ),
  );
  await sql.query(INSERT_PREDICTIONS, [`[${batch.join(',')}]`]);
}

async function countPredictions(sql: SqlExecutor): Promise<number> {
  const [row] = await sql.query<{ n: number }>('SELECT count(*)::integer AS n FROM predictions');
  return row?.n ?? 0;
}

const countByVersion = (sql: SqlExecutor, sinceMs: number): Promise<readonly VersionCount[]> =>
  sql.query<VersionCount>(
    `SELECT model_name AS model, model_version AS version, count(*)::integer AS rows
     FROM predictions WHERE predicted_at >= $1 GROUP BY 1, 2`,
    [new Date(sinceMs)],
  );

interface StoredPrediction {
  readonly request_id: string;
  readonly prediction_id: string;
  readonly row_index: number;
  readonly model_name: string;
  readonly model_version: number;
  readonly entity_key: EntityKey | null;
  readonly features: Record<string, unknown>;
  readonly prediction: string;
  readonly probabilities: Record<string, number> | null;
  readonly variant: string | null;
  readonly experiment: string | null;
  readonly at: string;
}

const SELECT_PREDICTIONS = `SELECT prediction_id, request_id, row_index, model_name, model_version, entity_key, features, prediction, probabilities, variant, experiment,
            (extract(epoch FROM predicted_at) * 1000)::bigint::text AS at
     FROM predictions`;

const predictionOf = (row: StoredPrediction): PredictionRow => ({
  predictionId: row.prediction_id,
  requestId: row.request_id,
  rowIndex: row.row_index,
  modelName: row.model_name,
  modelVersion: row.model_version,
  entityKey: row.entity_key ?? undefined,
  features: row.features,
  prediction: row.prediction,
  probabilities: row.probabilities ?? undefined,
  variant: row.variant ?? undefined,
  experiment: row.experiment ?? undefined,
  predictedAtMs: Number(row.at),
});

const dateOf = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms));

async function listPredictions(
  sql: SqlExecutor,
  { limit, modelName, entityKeys, sinceMs, untilMs }: PredictionFilter,
): Promise<readonly PredictionRow[]> {
  const rows = await sql.query<StoredPrediction>(
    `${SELECT_PREDICTIONS}
     WHERE ($2::text IS NULL OR model_name = $2) AND ($3::text[] IS NULL OR entity_key = ANY ($3))
       AND ($4::timestamptz IS NULL OR predicted_at >= $4) AND ($5::timestamptz IS NULL OR predicted_at < $5)
     ORDER BY predicted_at DESC, prediction_id, row_index
     LIMIT $1`,
    [limit, modelName ?? null, entityKeys ?? null, dateOf(sinceMs), dateOf(untilMs)],
  );
  return rows.map(predictionOf);
}

async function namedPredictions(sql: SqlExecutor, id: string, limit: number): Promise<readonly PredictionRow[]> {
  const rows = await sql.query<StoredPrediction>(
    `${SELECT_PREDICTIONS}
     WHERE prediction_id = $1 OR request_id = $1
     ORDER BY predicted_at DESC, prediction_id, row_index
     LIMIT $2`,
    [id, limit],
  );
  return rows.map(predictionOf);
}

async function pageOfPredictions(
  sql: SqlExecutor,
  { modelName, sinceMs, untilMs, after, limit }: PredictionPage,
): Promise<readonly PredictionRow[]> {
  const rows = await sql.query<StoredPrediction>(
    `${SELECT_PREDICTIONS}
     WHERE model_name = $1 AND predicted_at >= $2 AND predicted_at < $3
       AND ($4::timestamptz IS NULL OR (predicted_at, prediction_id, row_index) > ($4, $5, $6))
     ORDER BY predicted_at, prediction_id, row_index
     LIMIT $7`,
    [
      ...[modelName, new Date(after?.predictedAtMs ?? sinceMs), new Date(untilMs)],
      ...[dateOf(after?.predictedAtMs), after?.predictionId ?? '', after?.rowIndex ?? 0, limit],
    ],
  );
  return rows.map(predictionOf);
}

async function findPredictions(sql: SqlExecutor, rows: readonly RequestRow[]): Promise<readonly NamedPrediction[]> {
  return sql.query<NamedPrediction>(
    `SELECT p.request_id AS "requestId", p.row_index AS "rowIndex", p.prediction_id AS "predictionId",
            p.model_name AS "modelName", p.model_version AS "modelVersion",
            (extract(epoch FROM p.predicted_at) * 1000)::double precision AS "predictedAtMs"
     FROM predictions p
     JOIN unnest($1::text[], $2::integer[]) AS r(request_id, row_index) USING (request_id, row_index)
     ORDER BY p.predicted_at, p.prediction_id`,
    [rows.map(({ requestId }) => requestId), rows.map(({ rowIndex }) => rowIndex)],
  );
}

async function modelsOfRequests(
  sql: SqlExecutor,
  requestIds: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await sql.query<{ readonly id: string; readonly models: readonly string[] }>(
    `SELECT id, array_agg(DISTINCT model_name) AS models
     FROM (
       SELECT request_id AS id, model_name FROM predictions WHERE request_id = ANY($1::text[])
       UNION SELECT prediction_id, model_name FROM predictions WHERE prediction_id = ANY($1::text[])
     ) named GROUP BY id`,
    [requestIds],
  );
  return new Map(rows.map(({ id, models }) => [id, models]));
}

export const sqlPredictionStore = (sql: SqlExecutor): PredictionStore => ({
  write: (rows) => writePredictions(sql, rows),
  count: () => countPredictions(sql),
  countByVersion: (sinceMs) => countByVersion(sql, sinceMs),
  list: (filter) => listPredictions(sql, filter),
  named: (id, limit) => namedPredictions(sql, id, limit),
  page: (page) => pageOfPredictions(sql, page),
  find: (rows) => findPredictions(sql, rows),
  modelsOfRequests: (requestIds) => modelsOfRequests(sql, requestIds),
});
