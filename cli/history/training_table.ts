import type { TrainingSet } from '#feature_store/retrieval/training_set';
import type { TrainingTable } from '#registry/trainers/training_table';

/** A training set as trainers and evaluation take it. */
export const tableOf = ({ manifest, rows }: Pick<TrainingSet, 'manifest' | 'rows'>): TrainingTable => ({
  featureService: {
    service: manifest.service.service,
    fingerprint: manifest.service.fingerprint,
    ...(manifest.definitions === undefined ? {} : { definitions: manifest.definitions }),
  },
  columns: manifest.columns,
  rows: rows.map(({ values }) => manifest.columns.map(({ name }) => values[name] ?? null)),
  labels: rows.map(({ label }) => label),
  entities: rows.map(({ entityKey }) => entityKey),
});
