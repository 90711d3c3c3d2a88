import type { OutgoingRecord } from '../connector.ts';
import { RecordRefusedError } from '../errors.ts';

/** Of a JavaScript Date. */
const MOST_TIME_MS = 8.64e15;

/**
 * Checks records before any of them is sent.
 *
 * @returns the records, with their timestamps in whole milliseconds
 * @throws {@link RecordRefusedError} for a record whose timestamp is no time since the epoch
 */
export function checkedRecords(
  broker: string,
  topic: string,
  records: readonly OutgoingRecord[],
): readonly OutgoingRecord[] {
  let hasFractions = false;
  for (const { key, timestampMs } of records) {
    if (timestampMs === undefined) continue;
    if (!(timestampMs >= 0 && timestampMs <= MOST_TIME_MS)) {
      const problem = `its timestampMs is ${timestampMs}; send milliseconds since 1970, from 0 to ${MOST_TIME_MS}`;
      throw new RecordRefusedError(broker, topic, key, problem);
    }
    hasFractions ||= !Number.isInteger(timestampMs);
  }
  if (!hasFractions) return records;
  return records.map((record) =>
    record.timestampMs === undefined ? record : { ...record, timestampMs: Math.floor(record.timestampMs) },
  );
}
