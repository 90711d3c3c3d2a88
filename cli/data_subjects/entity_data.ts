import type { Broker } from '#connectors/connector';
import type { Erasable } from '#feature_store/data_subjects/erasable';
import { letterFiles } from '#feature_store/data_subjects/letter_files';
import { type OpenPersonalData, projectData } from '#feature_store/data_subjects/personal_data';
import { spooledData } from '#feature_store/data_subjects/spooled_data';
import { offlineData, onlineData } from '#feature_store/data_subjects/stored_data';
import { topicData } from '#feature_store/data_subjects/topic_data';
import type { OnlineStore } from '#feature_store/online/online_store';
import { messageOf } from '#kernel/errors';
import { startAll } from '#kernel/lifecycle';
import { createLogger, type Logger } from '#monitoring/log';
import { archivedData } from '#pipelines/archive/archived_data';
import type { EventArchive } from '#pipelines/archive/event_archive';
import { createPredictionTable } from '#serving/prediction_store/dynamodb_predictions';
import { archiveToRead } from '../parts/archive_folder.ts';
import { RunningPlatform } from '../parts/control_client.ts';
import { largeLetters } from '../parts/large_letters.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { createArchive } from '../parts/open_archive.ts';
import { openBroker, openOffline, openOnline } from '../parts/open_parts.ts';
import type { Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';

/** Where data of entities is kept, with what it is reached by. */
export interface EntityData {
  readonly offline: OfflineDatabase;
  readonly online: OnlineStore;
  readonly broker: Broker;
  /** The platform's, and the project's own; the online store is the last one. */
  readonly stores: readonly Erasable[];
  /** What lies in topics, files and spools: erased when the feature pipeline has read what it needs of it. */
  readonly records: readonly Erasable[];
}

/** Does `work` with every place that keeps data of entities: the platform's that runs, or opened here. */
export async function withEntityData<T>(config: Project, work: (data: EntityData) => Promise<T>): Promise<T> {
  const log = createLogger({ level: 'error' });
  const broker = await openBroker(config, log);
  const online = await openOnline(config, log, config.catalog.views);
  const offline = await openOffline(config, log);
  const services = await startAll([broker, online, offline], new AbortController().signal);
  const own: OpenPersonalData[] = [];
  try {
    const projects = await openOwn(config, own);
    const { topics, gateway } = config;
    const all = [topics.rawEvents, topics.featureEvents, topics.deadLetters, topics.predictions];
    await broker.ensureTopics(all.map((name) => ({ name, partitions: topics.partitions })));
    const { directory, fileSystems } = largeLetters(config);
    return await work({
      ...{ offline, online, broker },
      stores: [offlineData(offline.subjects), ...predicted(config), ...projects, onlineData(online)],
      records: [
        ...all.map((topic) => topicData(broker, topic, topic === topics.featureEvents || topic === topics.predictions)),
        letterFiles(directory, fileSystems),
        ...(gateway.spool === undefined ? [] : [spooledData(gateway.spool.directory, log)]),
        ...archived(config, broker, log),
      ],
    });
  } finally {
    await Promise.allSettled(own.map((data) => data.close?.()));
    await services[Symbol.asyncDispose]();
  }
}

/** Opens the project's own places, and adds each to `opened`. @throws {@link CommandFailedError} naming the place that does not open */
async function openOwn({ extensions }: Project, opened: OpenPersonalData[]): Promise<readonly Erasable[]> {
  const places: Erasable[] = [];
  for (const place of extensions.personalData) {
    const data = await place.open().catch((error: unknown) => {
      throw new CommandFailedError(`personalData "${place.name}" does not open: ${messageOf(error)}`);
    });
    opened.push(data);
    places.push(projectData(place, data));
  }
  return places;
}

/** The table of predictions beside the online store, where there is one. */
function predicted({ onlineStore }: Project): readonly Erasable[] {
  const table = createPredictionTable(onlineStore);
  if (table === undefined) return [];
  return [{ place: table.target, erase: ({ key }) => table.erase(key), read: ({ key }) => table.read(key) }];
}

/** How long the archive may take to read the topic to its end, before it erases. */
const CATCH_UP_MS = 60_000;

/** The archive of events, by the platform that runs and has it, or opened for the time of an erasure. */
function archived(config: Project, broker: Broker, log: Logger): readonly Erasable[] {
  const place = archiveToRead(config);
  if (place === undefined) return [];
  const erase: EventArchive['eraseEntity'] = async (mention, dryRun) => {
    const running = await RunningPlatform.find(config, 'archive');
    if (running !== undefined) return running.archive().eraseEntity(mention, dryRun);
    const archive = createArchive({ broker, log }, config) as EventArchive;
    await archive.start();
    try {
      await archive.catchUp(CATCH_UP_MS);
      return await archive.eraseEntity(mention, dryRun);
    } finally {
      await archive.stop();
    }
  };
  const data = archivedData(place, erase);
  return place.location.startsWith('s3://')
    ? [{ ...data, stays: 'erase while the pipeline that writes the archive runs on this machine, or is stopped' }]
    : [data];
}
