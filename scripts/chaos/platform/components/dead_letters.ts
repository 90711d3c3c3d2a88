import { join } from 'node:path';
import { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { createFileSystems } from '#connectors/files/file_systems';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type Component, contentOf, type OpenComponent } from '../component.ts';
import { diskLog } from './log.ts';

const TOPIC = 'dead-letter-queue';

/** Dead letters in the embedded log. What cannot be written for want of room is tried again for as long as the writer waits. */
export const DEAD_LETTERS: Component = {
  name: 'dead letters',
  batch: 3,
  needsMib: 0,
  isExclusive: true,
  async open(folder): Promise<OpenComponent> {
    const log = diskLog(join(folder, 'log'));
    await log.start();
    await log.ensureTopics([{ name: TOPIC, partitions: 1 }]);
    const deps = { producer: log.producer, log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
    const large = { directory: join(folder, 'dead-letters'), fileSystems: createFileSystems() };
    const writer = new DeadLetterWriter(deps, { topic: TOPIC, large });
    return {
      async write(ids) {
        // As a bundle that ends: an outage is not waited for.
        const letters = ids.map((id) => ({
          ...{
            payload: contentOf(id),
            reason: `refused ${id}`,
            stage: 'chaos',
            attempt: 1,
            timestamp: new Date().toISOString(),
          },
        }));
        await writer.write(letters, AbortSignal.abort());
      },
      async found() {
        const counts = new Map<string, number>();
        const reader = await log.openPartition(TOPIC, '0', { startAt: 'earliest' });
        const { signal } = new AbortController();
        for (;;) {
          const records = await reader.poll({ maxRecords: 500, maxWaitMs: 0, signal });
          if (records.length === 0) return counts;
          for (const { value } of records) {
            const { payload, reason } = JSON.parse(value.toString()) as DeadLetter;
            const id = payload.slice(0, payload.indexOf(' '));
            if (payload === contentOf(id) && reason === `refused ${id}`) counts.set(id, (counts.get(id) ?? 0) + 1);
          }
        }
      },
      close: () => log.stop(),
    };
  },
};
