import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PartitionLog } from '#connectors/disk_log/partition_log';
import { isMentioned } from '#connectors/entity_mention';
import type { Logger } from '#monitoring/log';
import { FolderLockedError } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import type { DataSubject, Erasable, SubjectRecord } from './erasable.ts';

const PAGE = 500;

/** Events that wait in the gateway's spool for the broker. While a gateway has the spool they stay: once sent, the pipeline passes over them. */
export function spooledData(directory: string, log: Logger): Erasable {
  async function withSpool<T>(otherwise: T, work: (spool: PartitionLog) => Promise<T>): Promise<T> {
    const records = join(directory, 'records');
    if (!existsSync(records)) return otherwise;
    let lock: FolderLock;
    try {
      lock = await FolderLock.acquire(directory);
    } catch (error) {
      if (error instanceof FolderLockedError) return otherwise;
      throw error;
    }
    const spool = new PartitionLog(records, '0', { segmentBytes: 8 * 1024 * 1024, syncEachWrite: true, log });
    try {
      await spool.open();
      return await work(spool);
    } finally {
      await spool.close();
      await lock.release();
    }
  }
  return {
    place: "gateway's spool",
    stays: 'events wait in the spool of a gateway that runs until its broker is back, and are then passed over',
    erase: ({ mention }) => withSpool(0, (spool) => spool.erase((record) => isMentioned(record, mention))),
    async *read({ mention }: DataSubject): AsyncGenerator<SubjectRecord> {
      yield* await withSpool<SubjectRecord[]>([], async (spool) => {
        const found: SubjectRecord[] = [];
        for (let at = spool.startOffset; at < spool.endOffset; ) {
          const records = await spool.read(at, PAGE);
          for (const record of records) {
            if (isMentioned(record, mention))
              found.push({ offset: String(record.offset), value: record.value.toString('utf8') });
          }
          at = (records.at(-1)?.offset ?? spool.endOffset) + 1n;
        }
        return found;
      });
    },
  };
}
