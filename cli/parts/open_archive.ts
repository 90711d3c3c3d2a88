import type { Broker } from '#connectors/connector';
import { createFileSystems } from '#connectors/files/file_systems';
import { systemClock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { Logger } from '#monitoring/log';
import { createMetricsRegistry, type Registry } from '#monitoring/metrics';
import { EventArchive } from '#pipelines/archive/event_archive';
import type { Project } from '../project/project.ts';
import { archiveDirectoryOf } from './archive_folder.ts';

/** Returns the archive's writer, which owns its folder; undefined where it is switched off, as it must be on Pub/Sub. */
export function createArchive(
  deps: { readonly broker: Broker; readonly log: Logger; readonly metrics?: Registry },
  config: Project,
): EventArchive | undefined {
  const { archive, topics } = config;
  if (!archive.enabled) return undefined;
  return new EventArchive(
    {
      ...{
        broker: deps.broker,
        log: deps.log,
        clock: systemClock,
        sources: config.catalog.sources,
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
