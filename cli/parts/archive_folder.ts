import { join } from 'node:path';
import { createFileSystems } from '#connectors/files/file_systems';
import { type ArchivePlace, archivePlace } from '#pipelines/archive/archive_place';
import type { PlatformConfig } from '../project/config/platform_config.ts';

/** Where the archive of raw events lies. */
export const archiveDirectoryOf = ({
  archive,
  dataDirectory,
}: Pick<PlatformConfig, 'archive' | 'dataDirectory'>): string => archive.directory ?? join(dataDirectory, 'archive');

/** Returns the archive of raw events to read; undefined where it is switched off. */
export const archiveToRead = (config: Pick<PlatformConfig, 'archive' | 'dataDirectory'>): ArchivePlace | undefined =>
  config.archive.enabled ? archivePlace(archiveDirectoryOf(config), createFileSystems()) : undefined;
