import { isInText } from '#connectors/entity_mention';
import type { DataSubject, Erasable, SubjectRecord } from '#feature_store/data_subjects/erasable';
import { readList } from './archive_list.ts';
import type { ArchivePlace } from './archive_place.ts';
import { readEvents } from './archived_event.ts';
import type { EventArchive } from './event_archive.ts';

/**
 * Events about an entity in the archive.
 *
 * @param erase - by the archive of the platform that runs, or one that is opened for it
 */
export const archivedData = (place: ArchivePlace, erase: EventArchive['eraseEntity']): Erasable => ({
  place: 'archive of events',
  erase: async ({ mention }) => (await erase(mention, false)).events,
  async *read({ mention }: DataSubject): AsyncGenerator<SubjectRecord> {
    for (const file of (await readList(place))?.files ?? []) {
      for (const { eventType, offset, payload } of (await readEvents(place, file)) ?? []) {
        if (isInText(payload, mention)) yield { eventType, offset: String(offset), payload };
      }
    }
  },
});
