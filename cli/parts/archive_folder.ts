import { join } from 'node:path';
import { pathIn } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { type ArchivePlace, archivePlace } from '#pipelines/archive/archive_place';
import type { PlatformConfig } from '../project/config/platform_config.ts';

/** Of the archive in the object store. */
export const RAW_PREFIX = 'raw';

/** What says where the archive lies. */
export type ArchiveSettings = Pick<PlatformConfig, 'archive' | 'objectStore' | 'dataDirectory'>;

/** Where the archive of raw events lies: as set, or in the object store, or in the data directory. */
export const archiveDirectoryOf = ({ archive, objectStore, dataDirectory }: ArchiveSettings): string =>
  archive.directory ??
  (objectStore.directory === undefined ? join(dataDirectory, 'archive') : pathIn(objectStore.directory, RAW_PREFIX));

/** Returns the archive of raw events to read; undefined where it is switched off. */
export const archiveToRead = (config: ArchiveSettings): ArchivePlace | undefined =>
  config.archive.enabled ? archivePlace(archiveDirectoryOf(config), createFileSystems()) : undefined;
