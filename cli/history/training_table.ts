import { modelInputsOf } from '#feature_store/definitions/model_inputs';
import type { TrainingSet } from '#feature_store/retrieval/training_set';
import type { TrainingTable } from '#registry/training_table';

/** Returns a training set as trainers and evaluation take it. @throws {@link DefinitionError} naming columns that no model takes */
export function tableOf({ manifest, rows }: Pick<TrainingSet, 'manifest' | 'rows'>): TrainingTable {
  const inputs = modelInputsOf(manifest.columns);
  return {
    featureService: {
      service: manifest.service.service,
      fingerprint: manifest.service.fingerprint,
      ...(manifest.definitions === undefined ? {} : { definitions: manifest.definitions }),
    },
    columns: inputs.map(({ name, type }) => ({ name, type })),
    rows: rows.map(({ values }) => inputs.map(({ column, of }) => of(values[column] ?? null))),
    labels: rows.map(({ label }) => label),
    entities: rows.map(({ entityKey }) => entityKey),
  };
}
