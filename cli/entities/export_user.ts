import { type FileHandle, open } from 'node:fs/promises';
import { dataSubject } from '#feature_store/data_subjects/erasable';
import { onDisk } from '#storage/errors';
import { withEntityData } from '../data_subjects/entity_data.ts';
import { entityKeysOf } from '../project/config/entity_option.ts';
import { loadProject } from '../project/project.ts';
import { createProgress } from '../terminal/progress.ts';
import { chooseKey } from './erase.ts';

export interface ExportUserOptions {
  /** Whose id it is. */
  readonly entity?: string;
  readonly format: 'json' | 'jsonl';
  readonly output?: string;
}

/** `headwater entities export u1 --output u1.json`: everything that the platform keeps of a person, by place, from where `headwater entities erase` removes it. */
export async function exportUser(text: string, { entity, format, output }: ExportUserOptions): Promise<void> {
  const config = await loadProject();
  const keys = entityKeysOf(config.catalog, text, entity);
  await withEntityData(config, async ({ offline, stores, records }) => {
    const key = await chooseKey(offline, text, keys);
    const subject = dataSubject(key, config.catalog.views);
    const progress = createProgress(process.stderr);
    // Only its owner may read it.
    const file: FileHandle | undefined =
      output === undefined ? undefined : await onDisk(output, () => open(output, 'w', 0o600));
    const write = async (line: string): Promise<void> => {
      if (file === undefined) process.stdout.write(line);
      else await onDisk(output as string, () => file.appendFile(line));
    };
    try {
      if (format === 'json') await write(`{"entity":${JSON.stringify(key)},"places":{`);
      for (const [index, place] of [...stores, ...records].entries()) {
        const task = progress.begin(`read ${place.place}`);
        if (format === 'json') await write(`${index === 0 ? '' : ','}\n${JSON.stringify(place.place)}:[`);
        let found = 0;
        for await (const record of place.read(subject)) {
          const text = JSON.stringify(record);
          if (format === 'jsonl') await write(`${JSON.stringify({ place: place.place, ...record })}\n`);
          else await write(`${found === 0 ? '' : ','}\n${text}`);
          found += 1;
          task.update(found);
        }
        if (place.notRead !== undefined) process.stderr.write(`${place.place}: ${place.notRead}\n`);
        if (format === 'json') await write(']');
        task.finish(`${found}`);
      }
      if (format === 'json') await write('\n}}\n');
      await file?.sync();
    } finally {
      await file?.close();
    }
  });
}
