import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BackupStore } from '#cli/backup/backup_store';
import { Sealing } from '#cli/backup/sealing';
import { checkStored, restoreTopic, storedOffsets, storedRecords, TopicCopies } from '#cli/backup/topic_records';
import type { Broker, LogRecord } from '#connectors/connector';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { createFileSystems } from '#connectors/files/file_systems';
import { recordsOfTopic } from '#connectors/records/topic_records';
import { startAll } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { byForm } from '../../../support/jest/forms.ts';
import { temporaryFolder } from '../../../support/servers/disk_folder.ts';

// Two processes store a topic into one place at the same time, as `backup create` and `backup follow` do, in any order, while records arrive. What is restored is the topic, each record once;
// an object that is lost is found.

const TOPIC = 'events';
const NO_WAIT_MS = 1;
type Step =
  | { readonly do: 'send'; readonly count: number }
  | { readonly do: 'store' | 'reopen'; readonly by: 0 | 1 }
  | { readonly do: 'both' };

const by = fc.constantFrom<0 | 1>(0, 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant<'send'>('send'), count: fc.integer({ min: 1, max: 7 }) }),
  fc.record({ do: fc.constantFrom<'store' | 'reopen'>('store', 'reopen'), by }),
  fc.constant<Step>({ do: 'both' }),
);

async function withLog<T>(directory: string, work: (broker: Broker) => Promise<T>): Promise<T> {
  const broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory, fsync: 'never', segmentBytes: 10_000 },
  );
  await using _ = await startAll([broker], new AbortController().signal);
  await broker.ensureTopics([{ name: TOPIC, partitions: 2 }]);
  return await work(broker);
}

async function contents(broker: Broker): Promise<readonly string[]> {
  const found: LogRecord[] = [];
  for await (const records of recordsOfTopic(broker, TOPIC)) found.push(...records);
  return found.map(({ key, value, timestampMs }) => `${key} ${value.toString()} ${timestampMs}`).sort();
}

test('a topic that two processes store is restored once, and a lost object is found', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.nat(), async (steps, lost) => {
      const folder = temporaryFolder('topic-records');
      const backups = join(folder, 'backups');
      const files = createFileSystems({})(backups);
      const store = new BackupStore(files, backups, new Sealing('a secret of tests that is long enough'));
      try {
        const sent = await withLog(join(folder, 'first'), async (broker) => {
          const copies = [
            new TopicCopies(store, broker, [TOPIC], NO_WAIT_MS),
            new TopicCopies(store, broker, [TOPIC], NO_WAIT_MS),
          ];
          let count = 0;
          for (const each of steps) {
            if (each.do === 'send') {
              const records = Array.from({ length: each.count }, () => {
                count += 1;
                return { key: `k${count % 3}`, value: Buffer.from(`v${count}`), timestampMs: count };
              });
              await broker.producer.send(TOPIC, records);
            } else if (each.do === 'both') {
              await Promise.all(copies.map((copy) => copy.storeNew()));
            } else if (each.do === 'store') {
              await copies[each.by]?.storeNew();
            } else {
              await copies[each.by]?.[Symbol.asyncDispose]();
              copies[each.by] = new TopicCopies(store, broker, [TOPIC], NO_WAIT_MS);
            }
          }
          await copies[0]?.storeNew();
          for (const copy of copies) await copy[Symbol.asyncDispose]();
          return contents(broker);
        });
        await withLog(join(folder, 'second'), async (broker) => {
          const { records, moved } = await restoreTopic(store, broker, TOPIC);
          expect([records, moved]).toEqual([sent.length, []]);
          expect(await contents(broker)).toEqual(sent);
        });

        const paths = await store.list(`topics/${TOPIC}`);
        const path = paths[lost % Math.max(1, paths.length)];
        if (path === undefined) return;
        const offsets = await storedOffsets(store, TOPIC);
        await store.remove(`topics/${TOPIC}/${path}`);
        const partition = path.split('/')[0] as string;
        const { first, end } = offsets[partition] as { readonly first: string; readonly end: string };
        const found: bigint[] = [];
        const reading = async (): Promise<void> => {
          await checkStored(store, { [TOPIC]: offsets });
          for await (const { records } of storedRecords(store, TOPIC, partition)) {
            found.push(...records.map(({ offset }) => offset));
          }
        };
        const error = await reading().then(
          () => undefined,
          (failure: unknown) => failure,
        );
        // What two processes have written may be there without one of the objects.
        if (error === undefined) expect([found[0], found.length]).toEqual([BigInt(first), Number(end) - Number(first)]);
        else expect(error).toMatchObject({ code: 'CLI_BACKUP_DAMAGED' });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }),
    { numRuns: byForm({ short: 8, long: 300 }) },
  );
}, 600_000);
