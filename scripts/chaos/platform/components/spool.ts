import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Producer } from '#connectors/connector';
import { ConnectionError } from '#connectors/errors';
import { SpoolingProducer } from '#connectors/gateway/spool';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type Component, contentOf, type OpenComponent } from '../component.ts';
import { idsIn, memoryLog } from './log.ts';

const TOPIC = 'sent';
const MAX_BYTES = 64 * 1024 * 1024;
const DRAINED_WITHIN_MS = 30_000;
/** Of the sends, so many find the broker away, in runs of this length. */
const AWAY_RUN = 4;

/** The gateway's spool before a broker that comes and goes. What it sends may arrive twice: the pipeline drops event ids that it has seen. */
export const SPOOL: Component = {
  name: 'gateway spool',
  batch: 5,
  needsMib: 0,
  isExclusive: true,
  async open(folder): Promise<OpenComponent> {
    // The broker is a machine of its own: its folder is not among the files that are damaged.
    const broker = memoryLog(join(folder, '.broker'));
    await broker.start();
    await broker.ensureTopics([{ name: TOPIC, partitions: 1 }]);
    let sends = 0;
    let isUp = existsSync(join(folder, '.up'));
    const producer: Producer = {
      async send(topic, records) {
        sends += 1;
        if (!isUp && sends % (2 * AWAY_RUN) < 2 * AWAY_RUN - 2) {
          throw new ConnectionError('the broker of the round', new Error('it is away'));
        }
        await broker.producer.send(topic, records);
      },
    };
    const config = { directory: join(folder, 'spool'), maxBytes: MAX_BYTES, sendTimeoutMs: 3_000 };
    const spool = new SpoolingProducer(
      { producer, clock: systemClock, log: silentLogger, metrics: createMetricsRegistry({ process: false }) },
      config,
    );
    try {
      await spool.start();
    } catch (error) {
      await broker.stop();
      throw error;
    }
    return {
      write: (ids) =>
        spool.send(
          TOPIC,
          ids.map((id) => ({ key: id, value: contentOf(id) })),
        ),
      async found() {
        isUp = true;
        for (const giveUpAt = Date.now() + DRAINED_WITHIN_MS; spool.waiting > 0 && Date.now() < giveUpAt; ) await sleep(10);
        return new Map([...new Set(await idsIn(broker, TOPIC))].map((id) => [id, 1]));
      },
      async close() {
        await spool.stop();
        await broker.stop();
      },
    };
  },
};
