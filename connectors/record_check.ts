import type { OutgoingRecord } from './connector.ts';
import { RecordRefusedError } from './errors.ts';

/** Of a JavaScript Date. */
const MOST_TIME_MS = 8.64e15;

/**
 * Checks records before any of them is sent.
 *
 * @throws {@link RecordRefusedError} for a record whose timestamp is no time since the epoch
 */
export function checkRecords(broker: string, topic: string, records: readonly OutgoingRecord[]): void {
  for (const { key, timestampMs } of records) {
    if (timestampMs === undefined || (timestampMs >= 0 && timestampMs <= MOST_TIME_MS)) continue;
    const problem = `its timestampMs is ${timestampMs}; send milliseconds since 1970, from 0 to ${MOST_TIME_MS}`;
    throw new RecordRefusedError(broker, topic, key, problem);
  }
}
