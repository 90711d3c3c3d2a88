import { UnreadableFileError } from '#connectors/errors';
import { checkedRow } from '#connectors/files/exact_rows';
import { type OpenFile, pathIn } from '#connectors/files/file_system';
import type { FileSystemOf } from '#connectors/files/file_systems';
import type { Row } from '#connectors/files/formats';
import type { Feature } from '#feature_store/definitions/feature';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, entityKeyFromText, entityOf } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { entityKeyFromPrevious } from '#feature_store/definitions/values/previous_entity_key';
import { codecOf } from '#feature_store/definitions/values/value_codec';
import { WrongTypeError } from '#feature_store/definitions/values/wrong_type_error';
import { messageOf, PlatformError } from '#kernel/errors';
import { DAY_MS, type EventTime, eventTime, processingTime } from '#kernel/time';
import { TrainingSetError } from '../errors.ts';
import type { OfflineStore } from './offline_store.ts';
import { encodeParquet, type ParquetColumn, readParquet } from './parquet_values.ts';

const ROWS_A_FILE = 50_000;
const ROWS_A_WRITE = 2_000;

export interface Exported {
  readonly files: number;
  readonly rows: number;
}

/**
 * Writes a view's rows with event times in [from, to) as Parquet, a column a feature:
 * `OUT/fraud@1/year=2026/month=11/day=21/part-0000.parquet`.
 */
export async function exportRows(
  offline: OfflineStore,
  view: FeatureView,
  range: { readonly from: EventTime; readonly to: EventTime },
  target: { readonly out: string; readonly fileSystemOf: FileSystemOf },
  onProgress: (done: Exported) => void = () => {},
): Promise<Exported> {
  const folder = pathIn(target.out, viewId(view));
  let done: Exported = { files: 0, rows: 0 };
  for (let day = Math.floor(range.from / DAY_MS) * DAY_MS; day < range.to; day += DAY_MS) {
    const within = { from: eventTime(Math.max(day, range.from)), to: eventTime(Math.min(day + DAY_MS, range.to)) };
    let after: FeatureRow | undefined;
    for (let part = 0; ; part += 1) {
      const rows = await offline.rowsBetween(view, within, { limit: ROWS_A_FILE, after });
      if (rows.length === 0) break;
      const date = new Date(day).toISOString();
      const name = `year=${date.slice(0, 4)}/month=${date.slice(5, 7)}/day=${date.slice(8, 10)}/part-${String(part).padStart(4, '0')}`;
      const path = `${folder}/${name}.parquet`;
      await target.fileSystemOf(path).write(path, encodeParquet(columnsOf(view, rows)));
      done = { files: done.files + 1, rows: done.rows + rows.length };
      onProgress(done);
      after = rows.at(-1);
    }
  }
  return done;
}

/** Writes rows that {@link exportRows} has written back; those that are there and were computed later stay. */
export async function importRows(
  offline: OfflineStore,
  view: FeatureView,
  source: { readonly from: string; readonly fileSystemOf: FileSystemOf },
  onProgress: (done: Exported) => void = () => {},
): Promise<Exported> {
  const pattern = pathIn(source.from, `${viewId(view)}/**/*.parquet`);
  const files = source.fileSystemOf(pattern);
  const paths = await files.glob(pattern);
  if (paths.length === 0) throw new TrainingSetError(`no file matches ${pattern}: nothing to import`);
  let done: Exported = { files: 0, rows: 0 };
  for (const path of paths) {
    const file = await files.open(path);
    try {
      let group = 0;
      for await (const read of readGroups(file)) {
        const rows = read.map((row, index) => rowOf(view, row, `${path}, row group ${group}, row ${index}`));
        for (let from = 0; from < rows.length; from += ROWS_A_WRITE) {
          await offline.write(rows.slice(from, from + ROWS_A_WRITE));
        }
        done = { files: done.files, rows: done.rows + rows.length };
        group += 1;
      }
    } finally {
      await file.close();
    }
    done = { files: done.files + 1, rows: done.rows };
    onProgress(done);
  }
  return done;
}

async function* readGroups(file: OpenFile): AsyncGenerator<readonly Row[]> {
  try {
    yield* readParquet(file);
  } catch (error) {
    throw error instanceof PlatformError ? error : new UnreadableFileError(file.path, messageOf(error), error);
  }
}

function columnsOf({ features }: FeatureView, rows: readonly FeatureRow[]): readonly ParquetColumn[] {
  return [
    { name: 'entity', type: 'string', values: rows.map(({ entityKey }) => entityOf(entityKey)) },
    { name: 'entity_key', type: 'string', values: rows.map(({ entityKey }) => entityKey) },
    { name: 'event_time', type: 'date', values: rows.map((row) => new Date(row.eventTime)) },
    { name: 'computed_at', type: 'date', values: rows.map((row) => new Date(row.computedAt)) },
    ...Object.entries<Feature>(features).map(([name, { type }]) => ({
      ...{ name, type },
      values: rows.map(({ values }) => values[name] ?? null),
    })),
  ];
}

/** @throws {@link TrainingSetError} naming the row and the feature for a value that is not of its type */
function rowOf(of: FeatureView, row: Row, place: string): FeatureRow {
  const { view, version, features } = of;
  const read = checkedRow(row);
  if (!read.ok) throw new TrainingSetError(`${place}: ${read.reason}`);
  const values: Record<string, FeatureValue> = {};
  for (const [name, { type }] of Object.entries<Feature>(features)) {
    try {
      values[name] = codecOf(type).read(row[name]);
    } catch (error) {
      if (!(error instanceof WrongTypeError)) throw error;
      throw new TrainingSetError(`${place}: ${name}: ${error.message}`);
    }
  }
  return {
    view,
    version,
    entityKey: keyOf(of, row),
    eventTime: eventTime((row.event_time as Date).getTime()),
    computedAt: processingTime((row.computed_at as Date).getTime()),
    values,
  };
}

/** Files without the column `entity` are of a release before entity keys. @throws {@link TrainingSetError} for a key that is ambiguous */
function keyOf(of: FeatureView, { entity, entity_key: held }: Row): EntityKey {
  if (entity !== undefined) return entityKeyFromText(of, String(held));
  const read = entityKeyFromPrevious(of, String(held));
  if ('key' in read) return read.key;
  throw new TrainingSetError(`entity_key "${String(held)}" of an earlier release cannot be imported: ${read.problem}`);
}
