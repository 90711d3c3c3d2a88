import { join } from 'node:path';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { type Component, contentOf, type OpenComponent } from '../component.ts';

const VIEW = { view: 'chaos', version: 1 };
const COUNTER = 'visits';

const keyOf = (id: string): EntityKey => `user:${id}` as EntityKey;

/** The embedded online store: a row and a counter for each id. */
export const ONLINE_STORE: Component = {
  name: 'online store',
  batch: 3,
  needsMib: 0,
  isExclusive: true,
  async open(folder): Promise<OpenComponent> {
    const store = new MemoryOnlineStore(
      { log: silentLogger, clock: systemClock, ttlMs: new Map() },
      { file: join(folder, 'online', 'rows.jsonl') },
    );
    await store.start();
    return {
      async write(ids) {
        const computedAt = processingTime(1);
        await store.write(
          ids.map((id) => ({
            ...VIEW,
            ...{ entityKey: keyOf(id), eventTime: eventTime(1), computedAt, values: { content: contentOf(id) } },
          })),
        );
        for (const id of ids) await store.increment(keyOf(id), COUNTER, 1);
      },
      async found(accepted) {
        const counts = new Map<string, number>();
        const rows = await store.read(VIEW, accepted.map(keyOf));
        for (const [at, id] of accepted.entries()) {
          if (rows[at]?.values.content !== contentOf(id)) continue;
          counts.set(id, await store.increment(keyOf(id), COUNTER, 0));
        }
        return counts;
      },
      close: () => store.stop(),
    };
  },
};
