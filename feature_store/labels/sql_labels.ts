import { upsertStatement } from '#connectors/postgres/upsert';
import { EntityKeyError } from '#feature_store/definitions/errors';
import { type EntityKey, entityKeyFromRow, type KeyedEntity } from '#feature_store/definitions/values/entity_key';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { numberOfInteger } from '#kernel/exact/exact_number';
import { unstorableTextIn } from '#kernel/text/unstorable_text';
import { eventTime } from '#kernel/time';
import { EXACT_INTEGERS, type ExactRow, withExactIntegers } from '../database/exact_integers.ts';
import type { SqlExecutor } from '../database/sql_executor.ts';
import { TrainingSetError } from '../errors.ts';
import type { TimeRange } from '../offline/offline_store.ts';
import type { LabelRow, LabelStore } from './label_store.ts';

// Labels, in SQL.

const LABELS_A_STATEMENT = 500;

const UPSERT_LABELS = upsertStatement({
  table: 'labels',
  columns: ['source', 'label_id', 'entity_key', 'event_time', 'label', 'request'],
  key: ['source', 'label_id'],
  source: 'jsonb_to_recordset($1::jsonb)',
  types: {
    ...{ source: 'text', label_id: 'text', entity_key: 'text', event_time: 'timestamptz' },
    ...{ label: 'double precision', request: 'jsonb' },
  },
  replace: 'always',
});

async function writeLabels(sql: SqlExecutor, source: string, labels: readonly LabelRow[]): Promise<void> {
  for (let start = 0; start < labels.length; start += LABELS_A_STATEMENT) {
    const batch = labels.slice(start, start + LABELS_A_STATEMENT).map((label) => ({
      source,
      label_id: label.labelId,
      entity_key: label.entityKey,
      event_time: new Date(label.eventTime),
      label: label.label,
      request: label.request ?? null,
    }));
    await sql.query(UPSERT_LABELS, [JSON.stringify(batch)]);
  }
}

interface StoredLabel {
  readonly label_id: string;
  readonly entity_key: EntityKey;
  readonly at: string;
  readonly label: number;
  readonly request: Readonly<Record<string, FeatureValue>> | null;
}

async function readLabels(sql: SqlExecutor, source: string, { from, to }: TimeRange): Promise<readonly LabelRow[]> {
  const rows = await sql.query<StoredLabel>(
    `SELECT label_id, entity_key, floor(extract(epoch FROM event_time) * 1000)::bigint::text AS at, label, request
     FROM labels WHERE source = $1 AND event_time >= $2 AND event_time < $3
     ORDER BY event_time, label_id`,
    [source, new Date(from), new Date(to)],
  );
  return rows.map(labelOf);
}

const labelOf = ({ label_id: labelId, entity_key: entityKey, at, label, request }: StoredLabel): LabelRow => ({
  labelId,
  entityKey,
  eventTime: eventTime(Number(at)),
  label,
  ...(request === null ? {} : { request }),
});

/** @throws {@link TrainingSetError} when a column that a label needs is not among the query's */
async function queryLabels(
  sql: SqlExecutor,
  query: string,
  { from, to }: TimeRange,
  of: KeyedEntity,
): Promise<readonly LabelRow[]> {
  const rows = await sql.query<ExactRow & { readonly at: string | null }>(
    `SELECT to_jsonb(labels) AS row, ${EXACT_INTEGERS('to_jsonb(labels)')} AS exact, floor(extract(epoch FROM labels.event_time::timestamptz) * 1000)::bigint::text AS at
     FROM (${query}) AS labels
     WHERE labels.event_time::timestamptz >= $1 AND labels.event_time::timestamptz < $2
     ORDER BY labels.event_time`,
    [new Date(from), new Date(to)],
  );
  return rows.map((found, index) => {
    const row = withExactIntegers(found);
    const { label_id: id, label } = row;
    const { label_id: _, entity_key: __, label: ___, event_time: ____, ...others } = row;
    // What features computed on demand need is numbers as JSON has them; a key of 64 bits is in the entity's key.
    const request = Object.fromEntries(
      Object.entries(others)
        .filter(([name, value]) => typeof value !== 'bigint' || !of.entity.joinKeys.includes(name))
        .map(([name, value]) => [name, typeof value === 'bigint' ? numberOfInteger(value) : value]),
    );
    const unreadable = unstorableTextIn(request);
    if (unreadable !== undefined) {
      throw new TrainingSetError(`row ${index} of the label query: ${unreadable.path}: ${unreadable.problem}`);
    }
    if ((typeof label !== 'number' && typeof label !== 'boolean') || found.at === null) {
      throw new TrainingSetError(
        `row ${index} of the label query needs entity_key, event_time and label, a number or a boolean; it has ${Object.keys(row).join(', ')}, and label is ${JSON.stringify(label) ?? 'missing'}`,
      );
    }
    return {
      labelId: String(id ?? index),
      entityKey: keyOf(of, row, index),
      eventTime: eventTime(Number(found.at)),
      label: Number(label),
      request: request as Readonly<Record<string, FeatureValue>>,
    };
  });
}

function keyOf(of: KeyedEntity, row: Readonly<Record<string, unknown>>, index: number): EntityKey {
  try {
    return entityKeyFromRow(of, row);
  } catch (error) {
    if (!(error instanceof EntityKeyError)) throw error;
    throw new TrainingSetError(`row ${index} of the label query: ${error.message}`);
  }
}

export const sqlLabelStore = (sql: SqlExecutor): LabelStore => ({
  write: (source, labels) => writeLabels(sql, source, labels),
  read: (source, range) => readLabels(sql, source, range),
  query: (query, range, of) => queryLabels(sql, query, range, of),
});
