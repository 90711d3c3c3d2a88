import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type KinesisClient, PutRecordsCommand, type PutRecordsRequestEntry } from '@aws-sdk/client-kinesis';
import type { OutgoingRecord } from '#connectors/connector';
import type { Logger } from '#monitoring/log';
import { ConnectionError, RecordRefusedError, RecordTooLargeError, refusalOf } from '../errors.ts';

const MOST_RECORDS = 500;
const MOST_BYTES = 5 * 1024 * 1024;
const MOST_RECORD_BYTES = 1024 * 1024;
const MOST_KEY_CHARACTERS = 256;
const ATTEMPTS = 8;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;

/** Before the partition key of a record that has none: so readers know. */
export const NO_KEY = '\u0000';

/**
 * Writes records with PutRecords: up to 500 and 5 MB a request. Kinesis may take some and refuse others (a shard's limit of 1 MB/s or 1,000
 * records/s): those are sent again with jittered, growing delays.
 *
 * @throws {@link RecordsRefusedError} when Kinesis can never take some, and all others are written
 * @throws {@link ConnectionError} when some were still refused in the end
 */
export async function putRecords(
  client: KinesisClient,
  stream: string,
  records: readonly OutgoingRecord[],
  log: Logger,
): Promise<void> {
  const entries: PutRecordsRequestEntry[] = [];
  const refused = new Map<number, Error>();
  for (const [index, record] of records.entries()) {
    const entry = entryOf(stream, record);
    if (entry instanceof Error) refused.set(index, entry);
    else entries.push(entry);
  }
  for (const batch of batchesOf(entries)) await putBatch(client, stream, batch, log);
  if (refused.size > 0) throw refusalOf(stream, records.length, refused);
}

function entryOf(stream: string, { key, value, headers }: OutgoingRecord): PutRecordsRequestEntry | Error {
  const refuse = (problem: string): Error => new RecordRefusedError('Kinesis', stream, key, problem);
  if (value === null) return refuse('it has no tombstones');
  if (headers !== undefined && Object.keys(headers).length > 0) return refuse('its records have no headers');
  if (key !== undefined && (key === '' || key.length > MOST_KEY_CHARACTERS)) {
    return refuse(`a key has 1 to ${MOST_KEY_CHARACTERS} characters`);
  }
  const data = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const partitionKey = key ?? `${NO_KEY}${randomUUID()}`;
  const sizeBytes = data.length + Buffer.byteLength(partitionKey);
  if (sizeBytes > MOST_RECORD_BYTES) {
    return new RecordTooLargeError('Kinesis', stream, key, { sizeBytes, maxBytes: MOST_RECORD_BYTES });
  }
  return { Data: data, PartitionKey: partitionKey };
}

function* batchesOf(entries: readonly PutRecordsRequestEntry[]): Generator<readonly PutRecordsRequestEntry[]> {
  let batch: PutRecordsRequestEntry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = (entry.Data?.length ?? 0) + Buffer.byteLength(entry.PartitionKey ?? '');
    if (batch.length === MOST_RECORDS || (batch.length > 0 && bytes + size > MOST_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(entry);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

async function putBatch(
  client: KinesisClient,
  stream: string,
  batch: readonly PutRecordsRequestEntry[],
  log: Logger,
): Promise<void> {
  let left = batch;
  let reason = '';
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (attempt > 0) {
      const delayMs = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), LONGEST_DELAY_MS) * (0.5 + Math.random() / 2);
      log.warn({ stream, refused: left.length, of: batch.length, reason, delayMs }, 'kinesis.records_refused');
      await sleep(delayMs);
    }
    const answer = await client.send(new PutRecordsCommand({ StreamName: stream, Records: [...left] }));
    if ((answer.FailedRecordCount ?? 0) === 0) return;
    const results = answer.Records ?? [];
    reason = results.find(({ ErrorCode }) => ErrorCode !== undefined)?.ErrorMessage ?? 'no reason given';
    left = left.filter((_, index) => results[index]?.ErrorCode !== undefined);
  }
  throw new ConnectionError(`Kinesis stream ${stream}`, new Error(`${left.length} records were refused: ${reason}`));
}
