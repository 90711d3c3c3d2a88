import { join } from 'node:path';
import type { Broker } from '#connectors/connector';
import { createFileSystems } from '#connectors/files/file_systems';
import { SOURCES } from '#feature_store/views/catalog';
import { durationMs } from '#kernel/duration';
import { systemClock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { createMetricsRegistry, type Registry } from '#monitoring/metrics';
import { type ArchivePlace, archivePlace } from '#pipelines/archive/archive_place';
import { EventArchive } from '#pipelines/archive/event_archive';
import type { PlatformConfig } from '../project/platform_config.ts';

/** Where the archive of raw events lies. */
export const archiveDirectoryOf = ({
  archive,
  dataDirectory,
}: Pick<PlatformConfig, 'archive' | 'dataDirectory'>): string => archive.directory ?? join(dataDirectory, 'archive');

/** Returns the archive of raw events to read; undefined where it is switched off. */
export const archiveToRead = (config: Pick<PlatformConfig, 'archive' | 'dataDirectory'>): ArchivePlace | undefined =>
  config.archive.enabled ? archivePlace(archiveDirectoryOf(config), createFileSystems()) : undefined;

/** Returns the archive's writer, which owns its folder; undefined where it is switched off, as it must be on Pub/Sub. */
export function createArchive(
  deps: { readonly broker: Broker; readonly log: Logger; readonly metrics?: Registry },
  config: PlatformConfig,
): EventArchive | undefined {
  const { archive, topics } = config;
  if (!archive.enabled) return undefined;
  return new EventArchive(
    {
      ...{
        broker: deps.broker,
        log: deps.log,
        clock: systemClock,
        sources: SOURCES,
        fileSystems: createFileSystems(),
      },
      metrics: deps.metrics ?? createMetricsRegistry({ process: false }),
    },
    {
      topic: topics.rawEvents,
      directory: archiveDirectoryOf(config),
      flushEveryMs: durationMs(archive.flushEvery),
      keepMs: durationMs(archive.keep),
    },
  );
}
