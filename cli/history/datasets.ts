import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { knownNames } from '#kernel/known_names';
import { installPackage } from '#registry/trainers/python_environment';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print, printList } from '../terminal/print.ts';
import { DATASETS } from './public_datasets.ts';

/** `headwater datasets list`. */
export function listDatasets({ json }: { readonly json: boolean }): void {
  const rows = DATASETS.map(({ read: _, ...described }) => described);
  printList(rows, {
    ...{ json, empty: 'no data sets' },
    line: ({ name, description, licence, requirement, view, model }) =>
      `${name}: ${description}\n  for ${view} and ${model}; ${requirement}; ${licence}`,
  });
}

/** `headwater datasets fetch NAME --out FOLDER`: events.jsonl for back-fill, and labels.csv if it has labels. */
export async function fetchDataset(name: string, { out }: { readonly out: string }): Promise<void> {
  const dataset = DATASETS.find((candidate) => candidate.name === name);
  if (dataset === undefined) {
    const known = DATASETS.map((each) => each.name);
    throw new CommandFailedError(`there is no data set ${name}; ${knownNames(name, known)}`);
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
