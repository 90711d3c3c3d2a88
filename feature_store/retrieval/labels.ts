import type { FileSystemOf } from '#connectors/files/file_systems';
import type { ReadRow, Row } from '#connectors/files/formats';
import { HistoryFiles, type HistoryPiece, isTextFile } from '#connectors/files/history_files';
import { EntityKeyError } from '#feature_store/definitions/errors';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import { type EntityKey, entityKeyFromRow, type KeyedEntity } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow, FeatureValue } from '#feature_store/definitions/values/feature_row';
import { type FeatureType, isPlainType, isWrittenAsJson } from '#feature_store/definitions/values/value_type';
import { ExactDecimal } from '#kernel/exact/exact_decimal';
import { numberOfInteger, numberOfText } from '#kernel/exact/exact_number';
import { textOf } from '#kernel/text/text_of';
import { UnreadableValue } from '#kernel/text/unstorable_text';
import { eventTime } from '#kernel/time';
import { parseUtcTime } from '#kernel/times/utc_time';
import { TrainingSetError } from '../errors.ts';
import type { LabelRow } from '../labels/label_store.ts';
import type { OfflineStore, TimeRange } from '../offline/offline_store.ts';
import type { OfflineStores } from '../offline_stores.ts';

/**
 * Where labels are: a source in the offline store, files, or a query of the offline store's database. Or there are none, and each row of the
 * service's first view is one of the set, or each entity is, at the time of the newest row of all.
 */
export type LabelOrigin =
  | { readonly source: string }
  | { readonly file: string }
  | { readonly query: string }
  | { readonly each: 'row' | 'entity' };

/**
 * Loads labels in [from, to), by time. In files and queries: event_time and label, whose label it is (entity_key, a key or an id as people write it, or columns
 * called as the join keys), each row's label_id if it has one, and besides them what features computed on demand need of a request.
 *
 * @throws {@link TrainingSetError} naming the file, the row and what it lacks
 */
export async function loadLabels(
  {
    offline,
    fileSystemOf,
  }: { readonly offline: Pick<OfflineStores, 'features' | 'labels'>; readonly fileSystemOf: FileSystemOf },
  origin: LabelOrigin,
  service: FeatureService,
  range: TimeRange,
): Promise<readonly LabelRow[]> {
  if ('source' in origin) return offline.labels.read(origin.source, range);
  if ('query' in origin) return offline.labels.query(origin.query, range, service);
  if ('each' in origin) return unlabelled(offline.features, origin.each, service, range);
  const files = new HistoryFiles(fileSystemOf);
  const labels: LabelRow[] = [];
  try {
    const paths = await files.find([origin.file]);
    if (paths.length === 0) throw new TrainingSetError(`no file matches ${origin.file}: there are no labels`);
    const types = new Map(service.signature.request.map(({ name, type }) => [name, type]));
    for (const path of paths) {
      let before = 0;
      for (let at: number | undefined = 0; at !== undefined; ) {
        const { rows, next, placeOf }: HistoryPiece = await files.read(path, at);
        for (const [index, read] of rows.entries()) {
          const label = labelOf(read, { path, row: before + index, place: placeOf(index), types, of: service });
          if (label.eventTime >= range.from && label.eventTime < range.to) labels.push(label);
        }
        before += rows.length;
        at = next;
      }
    }
  } finally {
    await files.close();
  }
  return byTime(labels);
}

const ROWS_A_PAGE = 5_000;

/** Moments of which nothing is known but their features: label 0. */
async function unlabelled(
  offline: OfflineStore,
  each: 'row' | 'entity',
  service: FeatureService,
  range: TimeRange,
): Promise<readonly LabelRow[]> {
  const [first] = service.stored;
  if (first === undefined)
    throw new TrainingSetError(`${service.signature.service} has no stored features: give labels`);
  const rows = new Map<string, LabelRow>();
  let newest = range.from;
  for (let after: FeatureRow | undefined; ; ) {
    const page = await offline.rowsBetween(first.view, range, { limit: ROWS_A_PAGE, after });
    for (const { entityKey, eventTime: at } of page) {
      const labelId = each === 'row' ? `${entityKey}@${at}` : entityKey;
      rows.set(labelId, { labelId, entityKey, eventTime: at, label: 0 });
      if (at > newest) newest = at;
    }
    after = page.at(-1);
    if (page.length < ROWS_A_PAGE) break;
  }
  const found = [...rows.values()];
  return byTime(each === 'row' ? found : found.map((row) => ({ ...row, eventTime: newest })));
}

const byTime = (labels: LabelRow[]): LabelRow[] =>
  labels.sort((a, b) => a.eventTime - b.eventTime || (a.labelId < b.labelId ? -1 : 1));

interface Place {
  readonly path: string;
  readonly row: number;
  /** For messages. */
  readonly place: string;
  /** Of the request's fields: CSV has only strings. */
  readonly types: ReadonlyMap<string, FeatureType>;
  readonly of: KeyedEntity;
}

function labelOf(read: ReadRow, { path, row, place, types, of }: Place): LabelRow {
  const refuse = (why: string): TrainingSetError => new TrainingSetError(`${place}: ${why}`);
  if (!read.ok) throw refuse(read.reason);
  const isText = isTextFile(path);
  const held: Row = read.partition === undefined ? read.row : { ...read.partition, ...read.row };
  const { label_id: id, entity_key: _, event_time: time, label, ...rest } = held;
  const timeMs = timeOf(time);
  if (timeMs === undefined || Number.isNaN(timeMs))
    throw refuse(`event_time must be a time such as 2026-11-21T08:00:00Z, not ${shown(time)}`);
  const value = numberOf(label, isText);
  if (value instanceof UnreadableValue) throw refuse(`label: ${value.problem}`);
  if (value === undefined || !Number.isFinite(value)) {
    const advice =
      typeof label === 'string' && numberOfText(label) !== undefined ? ': write it as a number, without quotes' : '';
    throw refuse(`label must be a number or a boolean, not ${shown(label)}${advice}`);
  }
  const request: Record<string, FeatureValue> = {};
  for (const [name, type] of types) {
    const given = rest[name];
    if (given === undefined) continue;
    const field = isText ? readText(textOf(given), type) : requestValue(given, type);
    if (field instanceof UnreadableValue) throw refuse(`${name}: ${field.problem}`);
    request[name] = field as FeatureValue;
  }
  return {
    labelId: textOf(id ?? `${path}#${row}`),
    entityKey: labelledKey(of, held, refuse),
    eventTime: eventTime(timeMs),
    label: value,
    ...(types.size === 0 ? {} : { request }),
  };
}

function timeOf(time: unknown): number | undefined {
  if (time instanceof Date) return time.getTime();
  return typeof time === 'string' ? parseUtcTime(time) : undefined;
}

function requestValue(given: unknown, type: FeatureType): unknown {
  if (!isPlainType(type)) return given instanceof ExactDecimal ? given.text : given;
  if (given instanceof ExactDecimal) return numberOfText(given.text) ?? given.text;
  if (typeof given === 'number' && Number.isNaN(given)) return null;
  return typeof given === 'bigint' ? numberOfInteger(given) : given;
}

/** A value as messages show it. */
function shown(value: unknown): string {
  if (value === undefined || value === null) return 'missing';
  const isScalar = typeof value === 'bigint' || typeof value === 'number';
  return isScalar ? `the number ${value}` : `${JSON.stringify(value)}`.slice(0, LONGEST_SHOWN);
}

const LONGEST_SHOWN = 100;

function labelledKey(of: KeyedEntity, row: Row, refuse: (why: string) => TrainingSetError): EntityKey {
  try {
    return entityKeyFromRow(of, row);
  } catch (error) {
    if (!(error instanceof EntityKeyError)) throw error;
    throw refuse(error.message);
  }
}

/** Labels as pandas, polars and R write booleans in CSV. */
const BOOLEANS: Readonly<Record<string, number>> = {
  ...{ true: 1, True: 1, TRUE: 1, false: 0, False: 0, FALSE: 0 },
};

/** Only CSV has numbers and booleans as text: elsewhere a string is none. */
function numberOf(label: unknown, isText: boolean): number | UnreadableValue | undefined {
  if (typeof label === 'bigint') return numberOfInteger(label);
  if (label instanceof ExactDecimal) return numberOfText(label.text);
  if (typeof label === 'string') return isText ? (BOOLEANS[label] ?? numberOfText(label)) : undefined;
  return typeof label === 'number' || typeof label === 'boolean' ? Number(label) : undefined;
}

/** What is none of the type stays a string, and is refused for it. */
function readText(text: string, type: FeatureType): FeatureValue | UnreadableValue {
  if (text === '') return null;
  if (type === 'string') return text;
  if (!isPlainType(type)) return isWrittenAsJson(type) ? parsedOr(text) : text;
  if (type === 'boolean')
    return text === '1' ? true : text === '0' ? false : BOOLEANS[text] === undefined ? text : BOOLEANS[text] === 1;
  return numberOfText(text) ?? text;
}

function parsedOr(text: string): FeatureValue {
  try {
    return JSON.parse(text) as FeatureValue;
  } catch {
    return text;
  }
}
