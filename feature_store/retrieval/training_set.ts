import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FeatureType } from '#feature_store/definitions/feature';
import { type FeatureValue, viewId } from '#feature_store/definitions/feature_row';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import type { EventTime } from '#kernel/time';
import { TrainingSetError } from '../errors.ts';
import type { OfflineStore, TrainingRow } from '../offline/offline_store.ts';
import { valuesAsOf } from './as_of.ts';

export interface TrainingColumn {
  readonly name: string;
  readonly type: FeatureType;
}

/** Says exactly what a training set is, so that it can be made again and told from another. */
export interface TrainingSetManifest {
  readonly format: 'headwater-training-set-1';
  readonly view: string;
  readonly labelSource: string;
  /** ISO 8601; labels in [from, to). */
  readonly from: string;
  readonly to: string;
  readonly columns: readonly TrainingColumn[];
  readonly rows: number;
  readonly positives: number;
  /** SHA-256 of data.csv. */
  readonly sha256: string;
  readonly createdAt: string;
}

export interface TrainingSet {
  readonly manifest: TrainingSetManifest;
  /** By event time. */
  readonly rows: readonly TrainingRow[];
}

const LEADING = ['label_id', 'entity_key', 'event_time', 'label'] as const;

/** Labels joined with the feature values that were true at each label's time. */
export async function buildTrainingSet(
  offline: OfflineStore,
  view: FeatureView,
  labelSource: string,
  range: { readonly from: EventTime; readonly to: EventTime },
): Promise<TrainingSet> {
  const columns = describeView(view).features.map(({ name, type }) => ({ name, type }));
  const joined = await offline.pointInTimeJoin(labelSource, range, {
    view,
    features: columns.map(({ name }) => name),
    ttlMs: view.ttlMs,
  });
  if (joined.length === 0) {
    throw new TrainingSetError(
      `there are no labels of source "${labelSource}" between ${new Date(range.from).toISOString()} and ${new Date(range.to).toISOString()}`,
    );
  }
  const rows = joined.map((row) => ({ ...row, values: valuesAsOf(view, row.values, row.eventTime) }));
  return {
    manifest: {
      format: 'headwater-training-set-1',
      view: viewId(view),
      labelSource,
      from: new Date(range.from).toISOString(),
      to: new Date(range.to).toISOString(),
      columns,
      rows: rows.length,
      positives: rows.filter(({ label }) => label > 0).length,
      sha256: createHash('sha256').update(toCsv(columns, rows)).digest('hex'),
      createdAt: new Date().toISOString(),
    },
    rows,
  };
}

/** Writes `data.csv` and `manifest.json`. */
export async function writeTrainingSet(directory: string, { manifest, rows }: TrainingSet): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'data.csv'), toCsv(manifest.columns, rows));
  await writeFile(join(directory, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** @throws {@link TrainingSetError} when the data is not what the manifest says */
export async function verifyTrainingSet(directory: string): Promise<TrainingSetManifest> {
  const manifest = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as TrainingSetManifest;
  const sha256 = createHash('sha256')
    .update(await readFile(join(directory, 'data.csv')))
    .digest('hex');
  if (sha256 !== manifest.sha256) {
    throw new TrainingSetError(`${directory}/data.csv has changed since its manifest was written: make the set again`);
  }
  return manifest;
}

function toCsv(columns: readonly TrainingColumn[], rows: readonly TrainingRow[]): string {
  const lines = [[...LEADING, ...columns.map(({ name }) => name)].join(',')];
  for (const row of rows) {
    const leading = [row.labelId, row.entityKey, new Date(row.eventTime).toISOString(), row.label];
    lines.push([...leading, ...columns.map(({ name }) => row.values[name] ?? null)].map(cell).join(','));
  }
  return `${lines.join('\n')}\n`;
}

function cell(value: FeatureValue): string {
  if (value === null) return '';
  if (typeof value === 'boolean') return value ? '1' : '0';
  const text = String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
