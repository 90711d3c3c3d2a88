import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Producer } from '#connectors/connector';
import { ConnectionError, RecordsRefusedError, RecordTooLargeError, refusalOf } from '#connectors/errors';
import { SpoolingProducer } from '#connectors/gateway/spool';
import type { RefuseSpooled } from '#connectors/gateway/spooled_letters';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type Component, contentOf, type OpenComponent } from '../component.ts';
import { diskLog, idsIn } from './log.ts';

const TOPIC = 'sent';
/** What the broker refuses for good, as dead letters. */
const REFUSED = 'refused';
/** The broker takes no longer values: some ids have one, so that poison is among what waits in every round. */
const MOST_CHARACTERS = 660;
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
    const broker = diskLog(join(folder, '.broker'));
    await broker.start();
    await broker.ensureTopics([TOPIC, REFUSED].map((name) => ({ name, partitions: 1 })));
    let sends = 0;
    let isUp = existsSync(join(folder, '.up'));
    const producer: Producer = {
      async send(topic, records) {
        sends += 1;
        if (!isUp && sends % (2 * AWAY_RUN) < 2 * AWAY_RUN - 2) {
          throw new ConnectionError('the broker of the round', new Error('it is away'));
        }
        const refused = new Map<number, Error>();
        for (const [index, { key = '', value }] of records.entries()) {
          const size = { sizeBytes: value?.length ?? 0, maxBytes: MOST_CHARACTERS };
          if (size.sizeBytes > size.maxBytes) {
            refused.set(index, new RecordTooLargeError('the broker of the round', topic, key, size));
          }
        }
        const taken = records.filter((_, index) => !refused.has(index));
        if (taken.length > 0) await broker.producer.send(topic, taken);
        if (refused.size > 0) throw refusalOf(topic, records.length, refused);
      },
    };
    const refuse: RefuseSpooled = async (_, { key = '', value }) =>
      broker.producer.send(REFUSED, [{ key, value: value.toString() }]);
    const config = { directory: join(folder, 'spool'), maxBytes: MAX_BYTES, sendTimeoutMs: 3_000 };
    const spool = new SpoolingProducer(
      {
        ...{ producer, refuse, clock: systemClock, log: silentLogger },
        metrics: createMetricsRegistry({ process: false }),
      },
      config,
    );
    try {
      await spool.start();
    } catch (error) {
      await broker.stop();
      throw error;
    }
    return {
      async write(ids) {
        const records = ids.map((id) => ({ key: id, value: contentOf(id) }));
        try {
          await spool.send(TOPIC, records);
        } catch (error) {
          // What the broker refuses at once is answered to the client, who has it still; the rest is accepted.
          if (!(error instanceof RecordsRefusedError)) throw error;
          await broker.producer.send(
            REFUSED,
            [...error.refused.keys()].map((index) => records[index] as never),
          );
        }
      },
      async found() {
        isUp = true;
        for (const giveUpAt = Date.now() + DRAINED_WITHIN_MS; spool.waiting > 0 && Date.now() < giveUpAt; )
          await sleep(10);
        const ids = [...(await idsIn(broker, TOPIC)), ...(await idsIn(broker, REFUSED))];
        return new Map([...new Set(ids)].map((id) => [id, 1]));
      },
      async close() {
        await spool.stop();
        await broker.stop();
      },
    };
  },
};
