import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CellValue, TrainingTable } from '#registry/training_table';

export interface TestRow {
  readonly label: number;
  readonly values: readonly CellValue[];
}
export type TestColumn = readonly [name: string, type: 'double' | 'string'];

/** A training set as `headwater training-sets create` writes it, and the same as a table. */
export function writeTrainingSet(directory: string, columns: readonly TestColumn[], rows: readonly TestRow[]) {
  mkdirSync(directory, { recursive: true });
  const lines = rows.map(({ label, values }, row) => {
    const time = new Date(1_790_000_000_000 + row * 1_000).toISOString();
    return [row, `e${row % 3}`, time, label, ...values.map((value) => value ?? '')].join(',');
  });
  const header = ['label_id', 'entity_key', 'event_time', 'label', ...columns.map(([column]) => column)].join(',');
  const data = `${[header, ...lines].join('\n')}\n`;
  writeFileSync(join(directory, 'data.csv'), data);
  const described = columns.map(([name, type]) => ({ name, type }));
  const manifest = {
    service: { service: 'test@1', fingerprint: '0123456789abcdef' },
    columns: described,
    files: [{ name: 'data.csv', sha256: createHash('sha256').update(data).digest('hex') }],
  };
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
  const table: TrainingTable = {
    featureService: { service: 'test@1' },
    columns: described,
    rows: rows.map(({ values }) => values),
    labels: rows.map(({ label }) => label),
  };
  return { directory, table };
}
