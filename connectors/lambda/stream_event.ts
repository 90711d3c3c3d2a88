import type {
  AttributeValue,
  DynamoDBRecord,
  DynamoDBStreamEvent,
  KinesisStreamEvent,
  KinesisStreamRecord,
  S3Event,
  S3EventRecord,
} from 'aws-lambda';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import { InvalidStreamEventError } from '../errors.ts';
import { isRefusal } from '../failure_class.ts';
import { deaggregate } from '../kinesis/aggregated_records.ts';
import { openEnvelope } from '../kinesis/envelope.ts';

// Events that a trigger of AWS Lambda hands over: records of Kinesis, changes of DynamoDB's tables, objects of S3.

export type StreamEvent = KinesisStreamEvent | DynamoDBStreamEvent | S3Event;

/** Lambda's partial answer for a batch: it delivers from the first of these on again (`ReportBatchItemFailures`). */
export interface StreamAnswer {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
}

export interface StreamDeps {
  /** Takes an event in, as `POST /ingest` does; what is refused goes to the dead letters. */
  ingest(bytes: Buffer): Promise<unknown>;
  readObject(path: string): Promise<Buffer>;
  readonly log: Logger;
}

/** What one record of the trigger brings. */
interface Delivered {
  /** Lambda's name for it in a partial answer; undefined for a source without partial answers. */
  readonly id: string | undefined;
  messages(): Promise<readonly Buffer[]>;
}

/**
 * Takes in every event of a trigger. An event that is refused is among the dead letters and counts as done; a record whose events could not be
 * stored is in the answer, and is delivered again. Repeated events are known by their ids.
 *
 * @throws {@link InvalidStreamEventError} for what is no such event; what storing failed with, for objects of S3, whose trigger repeats the whole event
 */
export async function takeStreamEvent(event: StreamEvent, deps: StreamDeps): Promise<StreamAnswer> {
  const { Records: records } = event as { readonly Records?: unknown };
  if (!Array.isArray(records)) throw new InvalidStreamEventError('it has no Records');
  const delivered = records.map(deliveredBy(deps.readObject));
  const failed = await Promise.all(delivered.map((each) => takeRecord(each, deps)));
  const itemIdentifiers = failed.filter((id) => id !== undefined);
  return { batchItemFailures: itemIdentifiers.map((itemIdentifier) => ({ itemIdentifier })) };
}

/** @returns the id of a record that must be delivered again */
async function takeRecord({ id, messages }: Delivered, { ingest, log }: StreamDeps): Promise<string | undefined> {
  try {
    await Promise.all((await messages()).map((bytes) => ingest(bytes).catch((error) => ignoreRefusal(error, id, log))));
    return undefined;
  } catch (error) {
    if (id === undefined) throw error;
    log.error({ record: id, error: messageOf(error) }, 'trigger.record_failed');
    return id;
  }
}

function ignoreRefusal(error: unknown, record: string | undefined, log: Logger): void {
  if (!isRefusal(error)) throw error;
  log.warn({ record, error: messageOf(error) }, 'trigger.event_refused');
}

const deliveredBy =
  (readObject: StreamDeps['readObject']) =>
  (record: unknown, at: number): Delivered => {
    const { eventSource = '(none)' } = record as { readonly eventSource?: string };
    if (eventSource === 'aws:kinesis') return ofKinesis(record as KinesisStreamRecord);
    if (eventSource === 'aws:dynamodb') return ofDynamoDb(record as DynamoDBRecord);
    if (eventSource === 'aws:s3') return ofS3(record as S3EventRecord, readObject);
    throw new InvalidStreamEventError(
      `Records[${at}].eventSource is "${eventSource}", and must be aws:kinesis, aws:dynamodb or aws:s3`,
    );
  };

/** Producers of Kinesis' library pack several events into a record. */
const ofKinesis = ({ kinesis: { sequenceNumber, partitionKey, data } }: KinesisStreamRecord): Delivered => ({
  id: sequenceNumber,
  messages: async () =>
    deaggregate(partitionKey, Buffer.from(data, 'base64')).map((user) => openEnvelope(user.data).value),
});

/** The item as it is after the change is the event; a deletion is none. */
const ofDynamoDb = ({ dynamodb }: DynamoDBRecord): Delivered => {
  const { SequenceNumber: id, NewImage: image } = dynamodb ?? {};
  const messages = image === undefined ? [] : [Buffer.from(JSON.stringify(plainItem(image)))];
  return { id, messages: async () => messages };
};

/** An object holds an event a line. */
const ofS3 = ({ s3 }: S3EventRecord, readObject: StreamDeps['readObject']): Delivered => ({
  id: undefined,
  async messages() {
    // Keys of notifications are encoded as forms are.
    const key = decodeURIComponent(s3.object.key.replaceAll('+', ' '));
    const version = s3.object.versionId === undefined ? '' : `?versionId=${s3.object.versionId}`;
    const text = (await readObject(`s3://${s3.bucket.name}/${key}${version}`)).toString('utf8');
    return text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => Buffer.from(line));
  },
});

const plainItem = (item: Readonly<Record<string, AttributeValue>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(item).map(([name, value]) => [name, plainValue(value)]));

/** Returns a value of DynamoDB's JSON as plain JSON; bytes as base64. */
function plainValue({ S, N, BOOL, B, L, M, SS, NS, BS }: AttributeValue): unknown {
  if (N !== undefined) return Number(N);
  if (L !== undefined) return L.map(plainValue);
  if (M !== undefined) return plainItem(M);
  return S ?? BOOL ?? B ?? SS ?? NS?.map(Number) ?? BS ?? null;
}
