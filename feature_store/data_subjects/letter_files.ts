import { isInText } from '#connectors/entity_mention';
import { pathIn, readWhole } from '#connectors/files/file_system';
import type { FileSystemOf } from '#connectors/files/file_systems';
import type { DataSubject, Erasable, SubjectRecord } from './erasable.ts';

/** Files of dead letters that were too large for their topic. */
export function letterFiles(directory: string, fileSystems: FileSystemOf): Erasable {
  const files = fileSystems(directory);
  async function* found({ mention }: DataSubject): AsyncGenerator<readonly [path: string, text: string]> {
    for (const path of await files.glob(pathIn(directory, '**/*.txt'))) {
      const text = (await readWhole(files, path)).toString('utf8');
      if (isInText(text, mention)) yield [path, text];
    }
  }
  return {
    place: 'files of dead letters',
    ...(directory.startsWith('s3://') ? { stays: 'a bucket that keeps versions keeps those of its files' } : {}),
    async erase(subject) {
      let erased = 0;
      for await (const [path] of found(subject)) {
        await files.remove(path);
        erased += 1;
      }
      return erased;
    },
    async *read(subject): AsyncGenerator<SubjectRecord> {
      for await (const [file, payload] of found(subject)) yield { file, payload };
    },
  };
}
