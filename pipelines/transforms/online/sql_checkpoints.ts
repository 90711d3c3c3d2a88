import { upsertStatement } from '#connectors/postgres/upsert';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { CheckpointStore, OnlineModel, Outcome, OutcomesPage } from './checkpoint_store.ts';
import type { OnlineCheckpoint } from './online_learner.ts';

// Weights of online learners, in SQL.

interface StoredOutcome extends Pick<Outcome, 'features' | 'label'> {
  readonly prediction_id: string;
  readonly row_index: number;
  readonly received: string;
  readonly predicted_ms: string;
  readonly received_ms: string;
}

async function outcomes(sql: SqlExecutor, { model, after, untilMs, limit }: OutcomesPage): Promise<readonly Outcome[]> {
  const rows = await sql.query<StoredOutcome>(
    `SELECT f.request_id AS prediction_id, f.row_index, f.label, p.features, to_json(f.received_at)#>>'{}' AS received,
            (extract(epoch FROM p.predicted_at) * 1000)::bigint::text AS predicted_ms,
            (extract(epoch FROM f.received_at) * 1000)::bigint::text AS received_ms
     FROM prediction_feedback f JOIN predictions p ON p.prediction_id = f.request_id AND p.row_index = f.row_index
     WHERE p.model_name = $1 AND f.received_at < $2
       AND ($3::timestamptz IS NULL OR (f.received_at, f.request_id, f.row_index) > ($3, $4, $5::integer))
     ORDER BY f.received_at, f.request_id, f.row_index LIMIT $6`,
    [
      ...[model, new Date(untilMs)],
      ...[after?.receivedAt ?? null, after?.predictionId ?? null, after?.rowIndex ?? null, limit],
    ],
  );
  return rows.map(({ prediction_id: predictionId, row_index: rowIndex, received: receivedAt, ...row }) => ({
    ...{ id: `${predictionId}#${rowIndex}`, features: row.features, label: row.label },
    ...{ predictedAtMs: Number(row.predicted_ms), receivedAtMs: Number(row.received_ms) },
    place: { receivedAt, predictionId, rowIndex },
  }));
}

const UPSERT = upsertStatement({
  table: 'online_checkpoints',
  columns: ['model', 'service', 'started_at', 'examples', 'newest_at', 'loss', 'went_back_to', 'weights'],
  key: ['model', 'service', 'started_at', 'examples'],
  source: 'jsonb_to_recordset($1::jsonb)',
  types: {
    ...{ model: 'text', service: 'text', started_at: 'timestamptz', examples: 'bigint', newest_at: 'timestamptz' },
    ...{ loss: 'double precision', went_back_to: 'bigint', weights: 'jsonb' },
  },
  replace: 'always',
});

const NEWEST_KEPT = 200;
const DAYS_KEPT = 90;
const PRUNE = `
  DELETE FROM online_checkpoints c USING (
    SELECT model, service, started_at, examples,
           row_number() OVER (PARTITION BY model, service ORDER BY newest_at DESC, examples DESC) AS place,
           row_number() OVER (PARTITION BY model, service, date_trunc('day', newest_at) ORDER BY newest_at DESC, examples DESC) AS place_of_day
    FROM online_checkpoints WHERE model = ANY($1)
  ) old
  WHERE c.model = old.model AND c.service = old.service AND c.started_at = old.started_at AND c.examples = old.examples
    AND old.place > ${NEWEST_KEPT} AND (old.place_of_day > 1 OR c.newest_at < now() - interval '${DAYS_KEPT} days')`;

async function write(sql: SqlExecutor, checkpoints: readonly (OnlineModel & OnlineCheckpoint)[]): Promise<void> {
  const rows = checkpoints.map(({ model, service, startedMs, examples, newestMs, loss, wentBackTo, weights }) => ({
    ...{ model, service, examples, loss, weights, went_back_to: wentBackTo },
    ...{ started_at: new Date(startedMs), newest_at: new Date(newestMs) },
  }));
  await sql.query(UPSERT, [JSON.stringify(rows)]);
  await sql.query(PRUNE, [[...new Set(checkpoints.map(({ model }) => model))]]);
}

async function newest(
  sql: SqlExecutor,
  { model, service }: OnlineModel,
  beforeMs: number,
): Promise<OnlineCheckpoint | undefined> {
  interface Stored extends Pick<OnlineCheckpoint, 'loss' | 'weights'> {
    readonly started_ms: string;
    readonly newest_ms: string;
    readonly examples: string;
    readonly went_back_to: string | null;
  }
  const [row] = await sql.query<Stored>(
    `SELECT (extract(epoch FROM started_at) * 1000)::bigint::text AS started_ms, examples::text, went_back_to::text,
            (extract(epoch FROM newest_at) * 1000)::bigint::text AS newest_ms, loss, weights
     FROM online_checkpoints WHERE model = $1 AND service = $2 AND newest_at < $3
     ORDER BY started_at DESC, examples DESC LIMIT 1`,
    [model, service, new Date(beforeMs)],
  );
  if (row === undefined) return undefined;
  return {
    ...{ startedMs: Number(row.started_ms), examples: Number(row.examples), newestMs: Number(row.newest_ms) },
    ...{ loss: row.loss, weights: row.weights },
    wentBackTo: row.went_back_to === null ? null : Number(row.went_back_to),
  };
}

export const sqlCheckpointStore = (sql: SqlExecutor): CheckpointStore => ({
  outcomes: (page) => outcomes(sql, page),
  write: (checkpoints) => write(sql, checkpoints),
  newest: (of, beforeMs) => newest(sql, of, beforeMs),
});
