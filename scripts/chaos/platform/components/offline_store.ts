import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { eventTime, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { type Component, contentOf, type OpenComponent } from '../component.ts';

const VIEW = { view: 'chaos', version: 1 };
const PAGE = 1_000;
const FROM_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
/** Making a database takes seconds: each round begins with a copy of one. */
export const TEMPLATE_VARIABLE = 'CHAOS_DATABASE';

const keyOf = (id: string): EntityKey => `user:${id}` as EntityKey;

/** Makes the database that rounds begin with. */
export async function makeTemplate(under: string): Promise<string> {
  const folder = await mkdtemp(join(under, 'chaos-database-'));
  const store = openStore(folder);
  await store.start(new AbortController().signal);
  await store.stop();
  return folder;
}

export const openStore = (folder: string): OfflineDatabase =>
  createOfflineDatabase({ log: silentLogger, views: [] }, { kind: 'pglite', directory: join(folder, 'offline') });

/** Puts a database where there is none. */
export async function placeDatabase(folder: string): Promise<void> {
  const template = process.env[TEMPLATE_VARIABLE];
  if (template === undefined || existsSync(join(folder, 'offline'))) return;
  await mkdir(folder, { recursive: true });
  const placing = join(folder, 'placing');
  await rm(placing, { recursive: true, force: true });
  await cp(join(template, 'offline'), placing, { recursive: true });
  await rename(placing, join(folder, 'offline'));
}

/** PGlite: a row of history for each id. */
export const OFFLINE_STORE: Component = {
  name: 'offline store',
  batch: 20,
  needsMib: 96,
  isExclusive: true,
  async open(folder): Promise<OpenComponent> {
    await placeDatabase(folder);
    const store = openStore(folder);
    try {
      await store.start(new AbortController().signal);
    } catch (error) {
      await store.stop();
      throw error;
    }
    let written = 0;
    return {
      async write(ids) {
        const rows = ids.map((id): FeatureRow => {
          const at = eventTime(FROM_MS + (written++ % DAY_MS));
          const values = { content: contentOf(id) };
          return { ...VIEW, entityKey: keyOf(id), eventTime: at, computedAt: processingTime(1), values };
        });
        await store.features.write(rows);
      },
      async found() {
        const counts = new Map<string, number>();
        const range = { from: eventTime(FROM_MS - DAY_MS), to: eventTime(FROM_MS + 2 * DAY_MS) };
        for (let after: FeatureRow | undefined; ; ) {
          const rows = await store.features.rowsBetween(VIEW, range, { limit: PAGE, after });
          for (const { entityKey, values } of rows) {
            const id = entityKey.slice('user:'.length);
            if (values.content === contentOf(id)) counts.set(id, (counts.get(id) ?? 0) + 1);
          }
          if (rows.length < PAGE) return counts;
          after = rows.at(-1);
        }
      },
      close: () => store.stop(),
    };
  },
};
