import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DATASETS } from '#examples/datasets/datasets';
import { installPackage } from '#registry/trainers/python_environment';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';

/** `headwater datasets list`. */
export function listDatasets(): void {
  for (const { name, description, licence, requirement, view, model } of DATASETS) {
    print(`${name}: ${description}`);
    print(`  for ${view} and ${model}; ${requirement}; ${licence}`);
  }
}

/** `headwater datasets fetch NAME --out FOLDER`: events.jsonl for back-fill, and labels.csv if it has labels. */
export async function fetchDataset(name: string, { out }: { readonly out: string }): Promise<void> {
  const dataset = DATASETS.find((candidate) => candidate.name === name);
  if (dataset === undefined) {
    throw new UsageError(`there is no data set ${name}; there is ${DATASETS.map((each) => each.name).join(', ')}`);
  }
  const { events, labels } = await dataset.read(await installPackage(dataset.requirement, { onLine: print }));
  await mkdir(out, { recursive: true });
  await writeFile(join(out, 'events.jsonl'), `${events.map((event) => JSON.stringify(event)).join('\n')}\n`);
  if (labels.length > 0) {
    const lines = labels.map(({ label_id: id, entity_key: key, event_time: time, label }) => [id, key, time, label]);
    const text = [['label_id', 'entity_key', 'event_time', 'label'], ...lines].map((line) => line.join(',')).join('\n');
    await writeFile(join(out, 'labels.csv'), `${text}\n`);
  }
  print(JSON.stringify({ dataset: name, events: events.length, labels: labels.length, licence: dataset.licence }));
}
