import { expect, test } from '@jest/globals';
import { ConnectionError, InvalidStreamEventError, RecordRefusedError } from '#connectors/errors';
import { sealEnvelope } from '#connectors/kinesis/envelope';
import { type StreamEvent, takeStreamEvent } from '#connectors/lambda/stream_event';
import { silentLogger } from '#monitoring/log';

const kinesis = (sequenceNumber: string, data: Buffer | string) => ({
  eventSource: 'aws:kinesis',
  kinesis: { sequenceNumber, partitionKey: 'k', data: Buffer.from(data).toString('base64') },
});

/** Takes an event whose intake fails with what `failures` has for a text. */
async function take(records: unknown, failures: Readonly<Record<string, Error>> = {}) {
  const taken: string[] = [];
  const answer = await takeStreamEvent({ Records: records } as StreamEvent, {
    ingest: async (bytes) => {
      const text = bytes.toString('utf8');
      if (failures[text] !== undefined) throw failures[text];
      taken.push(text);
    },
    readObject: async (path) => Buffer.from(`{"path":"${path}"}\n\n{"line":2}\n`),
    log: silentLogger,
  });
  return { taken, failed: answer.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier) };
}

test('records of Kinesis are decoded, with and without an envelope', async () => {
  const sealed = sealEnvelope(Buffer.from('{"a":1}'), { value: '{"a":1}', headers: { traceparent: 't' } });
  expect(await take([kinesis('1', '{"a":9007199254740993}'), kinesis('2', sealed)])).toEqual({
    ...{ taken: ['{"a":9007199254740993}', '{"a":1}'], failed: [] },
  });
});

test('what could not be stored is delivered again; what is refused is not', async () => {
  const failures = {
    away: new ConnectionError('the broker', new Error('no answer')),
    bad: new RecordRefusedError('Kinesis', 't', undefined, 'it is bad'),
  };
  const records = [kinesis('1', 'good'), kinesis('2', 'bad'), kinesis('3', 'away'), kinesis('4', 'last')];
  expect(await take(records, failures)).toEqual({ taken: ['good', 'last'], failed: ['3'] });
});

test('a change of a table is the item as it is now; a deletion is no event', async () => {
  const image = {
    ...{ id: { S: 'e1' }, amount: { N: '12.5' }, ok: { BOOL: true }, none: { NULL: true } },
    ...{ tags: { L: [{ S: 'a' }, { N: '2' }] }, deep: { M: { x: { S: 'y' } } }, many: { NS: ['1', '2'] } },
  };
  const records = [
    { eventSource: 'aws:dynamodb', eventName: 'INSERT', dynamodb: { SequenceNumber: '7', NewImage: image } },
    { eventSource: 'aws:dynamodb', eventName: 'REMOVE', dynamodb: { SequenceNumber: '8' } },
  ];
  const { taken, failed } = await take(records);
  expect(failed).toEqual([]);
  expect(taken.map((text) => JSON.parse(text) as unknown)).toEqual([
    { id: 'e1', amount: 12.5, ok: true, none: null, tags: ['a', 2], deep: { x: 'y' }, many: [1, 2] },
  ]);
});

test('an object of S3 holds an event a line; where one cannot be stored, the whole event fails', async () => {
  const record = {
    eventSource: 'aws:s3',
    s3: { bucket: { name: 'b' }, object: { key: 'a+b%2Bc.jsonl', versionId: 'v1' } },
  };
  expect((await take([record])).taken).toEqual(['{"path":"s3://b/a b+c.jsonl?versionId=v1"}', '{"line":2}']);
  const away = new ConnectionError('the broker', new Error('no answer'));
  await expect(take([record], { '{"line":2}': away })).rejects.toBe(away);
});

test.each([
  [undefined, /it has no Records/],
  [[{ eventSource: 'aws:sqs' }], /Records\[0\]\.eventSource is "aws:sqs"/],
])('what is no event of a stream is refused: %p', async (records, message) => {
  await expect(take(records)).rejects.toThrow(InvalidStreamEventError);
  await expect(take(records)).rejects.toThrow(message);
});
