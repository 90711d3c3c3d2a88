import { join } from 'node:path';
import type { LargeLetters } from '#connectors/dead_letters/dead_letter_writer';
import { createFileSystems } from '#connectors/files/file_systems';
import type { PlatformConfig } from '../project/config/platform_config.ts';

/** Where dead letters go that their topic does not take. */
export const largeLetters = ({
  deadLetters,
  dataDirectory,
}: Pick<PlatformConfig, 'deadLetters' | 'dataDirectory'>): LargeLetters => ({
  directory: deadLetters.directory ?? join(dataDirectory, 'dead-letters'),
  fileSystems: createFileSystems(),
});
