import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { definePersonalData, type PersonalData } from 'headwater/features';
import { customer } from '../features/purchases.ts';

interface Note {
  readonly customer: string;
  readonly note: string;
}

const readNotes = async (file: string): Promise<readonly Note[]> =>
  (await readFile(file, 'utf8').catch(() => ''))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Note);

async function writeNotes(file: string, notes: readonly Note[]): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, notes.map((note) => `${JSON.stringify(note)}\n`).join(''));
}

/** Adds notes about customers to a file of JSON lines. */
export const addNotes = async (file: string, notes: readonly Note[]): Promise<void> =>
  writeNotes(file, [...(await readNotes(file)), ...notes]);

/** The file, for erasure and export. */
export const notes = (file: string): PersonalData =>
  definePersonalData({
    name: 'notes',
    entity: customer,
    open: async () => ({
      async erase({ joinKeys }) {
        const all = await readNotes(file);
        const kept = all.filter((note) => note.customer !== joinKeys.customer_id);
        await writeNotes(file, kept);
        return all.length - kept.length;
      },
      async *read({ joinKeys }) {
        for (const note of await readNotes(file)) if (note.customer === joinKeys.customer_id) yield { ...note };
      },
    }),
  });
