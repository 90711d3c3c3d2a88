import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { type FeatureStatistics, StatisticsOf } from '#feature_store/aggregation/statistics';
import type { FeatureService, ServiceData, ServiceSignature } from '#feature_store/definitions/feature_service';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { codecOf, jsonOfValue } from '#feature_store/definitions/values/value_codec';
import { type FeatureType, isPlainType, isWrittenAsJson } from '#feature_store/definitions/values/value_type';
import { messageOf } from '#kernel/errors';
import { type EventTime, eventTime } from '#kernel/time';
import { parseJsonFile } from '#storage/json_file';
import { TrainingSetError } from '../errors.ts';
import type { LabelRow } from '../labels/label_store.ts';
import type { OfflineStore, TimeRange } from '../offline/offline_store.ts';
import { encodeParquet } from '../offline/parquet_values.ts';
import { requestFields } from './feature_vector.ts';
import { historicalVectors } from './historical_vectors.ts';
import type { LabelOrigin } from './labels.ts';
import type { TrainingFormat } from './training_format.ts';

export interface TrainingColumn {
  readonly name: string;
  readonly type: FeatureType;
}

export interface TrainingRow extends LabelRow {
  /** Feature values as of `eventTime`; null where none was known then. Keys are feature names. */
  readonly values: Readonly<Record<string, FeatureValue>>;
}

/** What a training set is to be. */
export interface TrainingSetSpec {
  readonly service: FeatureService;
  readonly labels: LabelOrigin;
  readonly range: TimeRange;
  /** Only values that had been computed by the label's time count. */
  readonly knownAtLabel?: boolean;
  readonly format?: TrainingFormat;
  /** Where the set is cut: one time gives train and test, two give train, validation and test. */
  readonly splitAt?: readonly EventTime[];
}

export interface TrainingFile {
  readonly name: string;
  readonly rows: number;
  readonly positives: number;
  readonly sha256: string;
}

/** Says exactly what a training set is, so that it can be made again and told from another. */
export interface TrainingSetManifest {
  readonly format: 'headwater-training-set-2';
  /** The columns, where they come from, and the fingerprint of their definitions. */
  readonly service: ServiceSignature;
  /** What the fingerprint is of; absent in sets of releases before 0.2, whose fingerprints are of descriptions. */
  readonly definitions?: ServiceData;
  readonly labels: LabelOrigin;
  /** ISO 8601; labels in [from, to). */
  readonly from: string;
  readonly to: string;
  readonly knownAtLabel: boolean;
  readonly splitAt: readonly string[];
  readonly columns: readonly TrainingColumn[];
  readonly rows: number;
  readonly positives: number;
  readonly files: readonly TrainingFile[];
  readonly createdAt: string;
}

export interface TrainingSet {
  readonly manifest: TrainingSetManifest;
  /** By event time. */
  readonly rows: readonly TrainingRow[];
  /** As they are to be written, by name. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** Of each column: what a model trained on it will take for normal. */
  readonly statistics: Readonly<Record<string, FeatureStatistics>>;
}

/** Beside a set's data, and kept with each model made from it. */
export const STATISTICS_FILE = 'statistics.json';

const LEADING = ['label_id', 'entity_key', 'event_time', 'label'] as const;
/** Names of the parts, by how many cuts there are. */
const PARTS: readonly (readonly string[])[] = [['data'], ['train', 'test'], ['train', 'validation', 'test']];

/**
 * Labels joined with the feature values that were true at each label's time.
 *
 * @param labels - those of the spec's origin, by time
 * @throws {@link TrainingSetError} when there are none, or they are of another entity; {@link RequestFieldsError} when a label lacks what on-demand features need
 */
export async function buildTrainingSet(
  offline: Pick<OfflineStore, 'pointInTimeJoin'>,
  { service, labels: origin, range, knownAtLabel = false, format = 'csv', splitAt = [] }: TrainingSetSpec,
  labels: readonly LabelRow[],
): Promise<TrainingSet> {
  const [from, to] = [new Date(range.from).toISOString(), new Date(range.to).toISOString()];
  if (labels.length === 0)
    throw new TrainingSetError(`there are no labels of ${nameOf(origin)} between ${from} and ${to}`);
  const { name: entity } = service.entity;
  const stranger = labels.find(({ entityKey }) => !entityKey.startsWith(`${entity}:`));
  if (stranger !== undefined) {
    throw new TrainingSetError(
      `label ${stranger.labelId} of ${nameOf(origin)} is about "${stranger.entityKey}", and ${service.signature.service} is of ${entity}: its keys begin with "${entity}:". Labels of releases before entity keys that nothing told the entity of are to be written again`,
    );
  }
  const parts = PARTS[splitAt.length];
  if (parts === undefined)
    throw new TrainingSetError(`a training set is cut once or twice, not ${splitAt.length} times`);
  const moments = labels.map(({ entityKey, eventTime: at, request = {} }) => ({
    ...{ entityKey, eventTime: at, request: requestFields(service, request) },
  }));
  const vectors = await historicalVectors(offline, service, moments, {
    knownAtMoment: knownAtLabel,
    nameOf: (index) => `label ${labels[index]?.labelId} of ${labels[index]?.entityKey}`,
  });
  const rows = labels.map((label, index): TrainingRow => ({ ...label, values: vectors[index] ?? {} }));
  const columns = service.columns.map(({ name, type }) => ({ name, type }));
  const files = new Map<string, Buffer>();
  const described: TrainingFile[] = [];
  for (const [index, part] of parts.entries()) {
    const [begin, end] = [
      splitAt[index - 1] ?? eventTime(Number.NEGATIVE_INFINITY),
      splitAt[index] ?? eventTime(Number.POSITIVE_INFINITY),
    ];
    const chosen = rows.filter((row) => row.eventTime >= begin && row.eventTime < end);
    const data = format === 'csv' ? Buffer.from(toCsv(columns, chosen)) : toParquet(columns, chosen);
    const name = `${part}.${format}`;
    files.set(name, data);
    described.push({ name, rows: chosen.length, positives: positivesOf(chosen), sha256: sha256(data) });
  }
  return {
    manifest: {
      format: 'headwater-training-set-2',
      service: service.signature,
      definitions: service.data,
      labels: origin,
      from,
      to,
      knownAtLabel,
      splitAt: splitAt.map((time) => new Date(time).toISOString()),
      columns,
      rows: rows.length,
      positives: positivesOf(rows),
      files: described,
      createdAt: new Date().toISOString(),
    },
    rows,
    files,
    statistics: statisticsOf(columns, rows),
  };
}

function statisticsOf(
  columns: readonly TrainingColumn[],
  rows: readonly TrainingRow[],
): Readonly<Record<string, FeatureStatistics>> {
  const of = new StatisticsOf(
    columns.map(({ name }) => name),
    Object.fromEntries(columns.map(({ name, type }) => [name, type])),
  );
  const added = rows.reduce((into, row) => of.addInput(into, row), of.createAccumulator());
  return Object.fromEntries(of.extractOutput(added));
}

const positivesOf = (rows: readonly TrainingRow[]): number => rows.filter(({ label }) => label > 0).length;
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
const nameOf = (origin: LabelOrigin): string =>
  'source' in origin
    ? `source "${origin.source}"`
    : 'file' in origin
      ? origin.file
      : 'query' in origin
        ? 'the label query'
        : `each ${origin.each}`;

/** Writes the data and `manifest.json`, the manifest last: a folder with one is whole. */
export async function writeTrainingSet(directory: string, { manifest, files, statistics }: TrainingSet): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, STATISTICS_FILE), `${JSON.stringify(statistics, null, 2)}\n`);
  for (const [name, data] of files) await writeFile(join(directory, name), data);
  await writeFile(join(directory, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** @throws {@link TrainingSetError} when the folder holds none */
export async function readManifest(directory: string): Promise<TrainingSetManifest> {
  const file = join(directory, 'manifest.json');
  const bytes = await readFile(file).catch((error: unknown): never => {
    throw new TrainingSetError(
      `${file} cannot be read: ${messageOf(error)}. Name the folder that "headwater training-sets create --out" has written`,
    );
  });
  const manifest = parseJsonFile(file, bytes, 'make the training set again') as TrainingSetManifest;
  if (manifest.format !== 'headwater-training-set-2') {
    throw new TrainingSetError(`${directory} was written by an earlier headwater: make the training set again`);
  }
  return manifest;
}

/** @throws {@link TrainingSetError} when the data is not what the manifest says */
export async function verifyTrainingSet(directory: string): Promise<TrainingSetManifest> {
  const manifest = await readManifest(directory);
  for (const { name, sha256: expected } of manifest.files) {
    if (sha256(await readFile(join(directory, name))) !== expected) {
      throw new TrainingSetError(`${directory}/${name} has changed since its manifest was written: make the set again`);
    }
  }
  return manifest;
}

const DATA_FILE = 'data.csv';
const FEWEST_ROWS = 100;

/** The rows of a set that is one CSV file. @throws {@link TrainingSetError} when it is another one, or has been changed */
export async function readTrainingSet(
  directory: string,
): Promise<Pick<TrainingSet, 'manifest' | 'rows' | 'statistics'>> {
  const manifest = await verifyTrainingSet(directory);
  if (!manifest.files.some(({ name }) => name === DATA_FILE)) {
    throw new TrainingSetError(`${directory} has no ${DATA_FILE}: make it with --format csv and without --split-at`);
  }
  const records = parse(await readFile(join(directory, DATA_FILE)), { columns: true }) as Record<string, string>[];
  const rows = records.map((record): TrainingRow => {
    const { label_id: labelId, entity_key: entityKey, event_time: time, label } = record;
    const values = manifest.columns.map(({ name, type }) => [name, cellValue(record[name] as string, type)] as const);
    return {
      ...{ labelId: labelId as string, entityKey: entityKey as EntityKey },
      eventTime: eventTime(Date.parse(time as string)),
      label: Number(label),
      values: Object.fromEntries(values),
    };
  });
  return { manifest, rows, statistics: statisticsOf(manifest.columns, rows) };
}

function cellValue(text: string, type: FeatureType): FeatureValue {
  if (text === '') return null;
  if (type === 'string') return text;
  if (type === 'boolean') return text === '1';
  if (isPlainType(type)) return Number(text);
  return codecOf(type).read(isWrittenAsJson(type) ? JSON.parse(text) : text);
}

/** What a model should not be trained on: columns without values, labels that are all the same, too few rows. */
export function trainingSetProblems({ manifest, rows, statistics }: Omit<TrainingSet, 'files'>): readonly string[] {
  const [first] = rows;
  const isLabelled = !('each' in manifest.labels);
  const empty = Object.entries(statistics).filter(([, { nulls }]) => nulls === rows.length);
  return [
    ...(rows.length < FEWEST_ROWS ? [`${rows.length} rows are too few: ${FEWEST_ROWS} are needed`] : []),
    ...(isLabelled && rows.every(({ label }) => label === first?.label) ? [`every label is ${first?.label}`] : []),
    ...empty.map(([name]) => `${name} is missing in every row`),
  ];
}

function toCsv(columns: readonly TrainingColumn[], rows: readonly TrainingRow[]): string {
  const lines = [[...LEADING, ...columns.map(({ name }) => name)].join(',')];
  for (const row of rows) {
    const leading = [row.labelId, row.entityKey, new Date(row.eventTime).toISOString(), row.label];
    lines.push([...leading, ...columns.map(({ name }) => row.values[name] ?? null)].map(cell).join(','));
  }
  return `${lines.join('\n')}\n`;
}

/** Booleans are 1 and 0, what a trainer reads; lists, structs and embeddings are their JSON. */
function cell(value: FeatureValue): string {
  if (value === null) return '';
  if (typeof value === 'boolean') return value ? '1' : '0';
  const json = jsonOfValue(value);
  const text = typeof json === 'object' ? JSON.stringify(json) : String(json);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function toParquet(columns: readonly TrainingColumn[], rows: readonly TrainingRow[]): Buffer {
  return encodeParquet([
    { name: 'label_id', type: 'string', values: rows.map(({ labelId }) => labelId) },
    { name: 'entity_key', type: 'string', values: rows.map(({ entityKey }) => entityKey) },
    { name: 'event_time', type: 'date', values: rows.map((row) => new Date(row.eventTime)) },
    { name: 'label', type: 'double', values: rows.map(({ label }) => label) },
    ...columns.map(({ name, type }) => ({ name, type, values: rows.map(({ values }) => values[name] ?? null) })),
  ]);
}
