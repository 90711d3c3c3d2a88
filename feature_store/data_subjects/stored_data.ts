import type { OnlineStore } from '#feature_store/online/online_store';
import type { DataSubject, Erasable, SubjectRecord } from './erasable.ts';
import { ENTITY_TABLES, type SubjectRows } from './subject_rows.ts';

const PAGE = 500;

/** Rows and counters online. */
export const onlineData = (store: OnlineStore): Erasable => ({
  place: 'online store',
  erase: ({ views, key }) => store.erase(views, key),
  async *read({ views, key }: DataSubject): AsyncGenerator<SubjectRecord> {
    for (const view of views) {
      const [row] = await store.read(view, [key]);
      if (row !== undefined) yield { ...row };
    }
    const counters = await store.readCounters(key);
    if (Object.keys(counters).length > 0) yield { counters };
  },
});

/** Feature rows, predictions, how they turned out, and labels. */
export const offlineData = (rows: SubjectRows): Erasable => ({
  place: 'offline store',
  async erase({ key, mention }) {
    const counts = await rows.erase(key, false, mention.joinKeys);
    return Object.values(counts as unknown as Record<string, number>).reduce((sum, count) => sum + count, 0);
  },
  async *read({ key, mention }: DataSubject): AsyncGenerator<SubjectRecord> {
    for (const table of ENTITY_TABLES) {
      for (let offset = 0; ; offset += PAGE) {
        const found = await rows.read(table, key, mention.joinKeys, { offset, limit: PAGE });
        for (const row of found) yield { table, ...row };
        if (found.length < PAGE) break;
      }
    }
  },
});
