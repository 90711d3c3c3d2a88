import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { writeInHalves } from '#connectors/delivery';
import {
  ConnectionError,
  RecordRefusedError,
  RecordsRefusedError,
  TargetError,
  UnknownTopicError,
} from '#connectors/errors';
import {
  awsFailure,
  type FailureClass,
  failureClassOf,
  grpcFailure,
  redisFailure,
  sqlFailure,
} from '#connectors/failure_class';
import { KAFKA_ERRORS } from '#connectors/kafka/error_codes';
import { understood } from '#connectors/kafka/errors';
import { OfflineStoreError } from '#feature_store/errors';

const SQL: Readonly<Record<string, FailureClass>> = {
  '08006': 'transient', // connection_failure
  '0A000': 'target', // feature_not_supported
  '21000': 'record', // cardinality_violation: a row twice in one statement
  '22001': 'record', // string_data_right_truncation
  '22003': 'record', // numeric_value_out_of_range
  '22007': 'record', // invalid_datetime_format
  '22021': 'record', // character_not_in_repertoire: NUL
  '22P02': 'record', // invalid_text_representation
  '22P05': 'record', // untranslatable_character: \u0000 in jsonb
  '23502': 'record', // not_null_violation
  '23505': 'record', // unique_violation
  '23514': 'record', // check_violation
  '25006': 'transient', // read_only_sql_transaction: a replica, for now
  '28P01': 'target', // invalid_password
  '3D000': 'target', // invalid_catalog_name
  '40001': 'transient', // serialization_failure
  '40P01': 'transient', // deadlock_detected
  '42501': 'target', // insufficient_privilege
  '42703': 'target', // undefined_column
  '42P01': 'target', // undefined_table
  '44000': 'record', // with_check_option_violation
  '53100': 'transient', // disk_full
  '53300': 'transient', // too_many_connections
  '54000': 'record', // program_limit_exceeded: an index row too large
  '54001': 'record', // statement_too_complex: JSON nested too deep
  '55P03': 'transient', // lock_not_available
  '57014': 'transient', // query_canceled
  '57P01': 'transient', // admin_shutdown
  '58030': 'transient', // io_error
  P0001: 'record', // raise_exception: a trigger
  XX000: 'target', // internal_error
  ECONNRESET: 'transient',
};
const REDIS: Readonly<Record<string, FailureClass>> = {
  'WRONGTYPE Operation against a key holding the wrong kind of value': 'record',
  'ERR Error running script (call to f_1): @user_script:4: WRONGTYPE Operation against a key': 'record',
  'ERR value is not an integer or out of range': 'record',
  'ERR string exceeds maximum allowed size (proto-max-bulk-len)': 'record',
  'NOAUTH Authentication required.': 'target',
  "NOPERM User default has no permissions to run the 'set' command": 'target',
  "ERR unknown command 'FOO'": 'target',
  'LOADING Redis is loading the dataset in memory': 'transient',
  "OOM command not allowed when used memory > 'maxmemory'.": 'transient',
  "READONLY You can't write against a read only replica.": 'transient',
  'MISCONF Redis is configured to save RDB snapshots': 'transient',
  'CLUSTERDOWN The cluster is down': 'transient',
  'BUSY Redis is busy running a script.': 'transient',
};

describe('what a failed write says', () => {
  it.each(Object.entries(SQL))('PostgreSQL %s: %s', (code, expected) => expect(sqlFailure(code)).toBe(expected));
  it.each(Object.entries(REDIS))('Redis %s: %s', (message, expected) => expect(redisFailure(message)).toBe(expected));

  it.each([
    ['MESSAGE_TOO_LARGE', 'record'],
    ['RECORD_LIST_TOO_LARGE', 'record'],
    ['INVALID_RECORD', 'record'],
    ['TOPIC_AUTHORIZATION_FAILED', 'target'],
    ['INVALID_TOPIC_EXCEPTION', 'target'],
    ['UNSUPPORTED_VERSION', 'target'],
    ['NOT_LEADER_OR_FOLLOWER', 'transient'],
    ['NOT_ENOUGH_REPLICAS', 'transient'],
    ['INVALID_PRODUCER_EPOCH', 'transient'],
    ['UNKNOWN_SERVER_ERROR', 'transient'],
  ] as const)('Kafka %s: %s', (type, expected) => {
    const [code] = KAFKA_ERRORS.find(([, name]) => name === type) ?? [];
    const error = Object.assign(new Error(type), { type, code });
    expect(failureClassOf(understood(error, { where: 'Kafka', topic: 't' }))).toBe(expected);
  });

  it.each([
    [3, 'record'],
    [5, 'target'],
    [7, 'target'],
    [8, 'transient'],
    [14, 'transient'],
  ] as const)('gRPC %s: %s', (code, expected) => expect(grpcFailure(code)).toBe(expected));

  it.each([
    ['ValidationException', 'record'],
    ['InvalidArgumentException', 'record'],
    ['ResourceNotFoundException', 'target'],
    ['AccessDeniedException', 'target'],
    ['KMSDisabledException', 'target'],
    ['KMSThrottlingException', 'transient'],
    ['ProvisionedThroughputExceededException', 'transient'],
  ] as const)('Kinesis %s: %s', (name, expected) => expect(awsFailure(name)).toBe(expected));

  it('errors of the platform carry their class; those of encoding are the record’s', () => {
    expect(failureClassOf(new RecordRefusedError('Redis', 'hashes', 'k', 'no'))).toBe('record');
    expect(failureClassOf(new ConnectionError('Redis', new Error('down')))).toBe('transient');
    expect(failureClassOf(new TargetError('table t', new Error('missing')))).toBe('target');
    expect(failureClassOf(new UnknownTopicError('Kafka', 't'))).toBe('target');
    expect(failureClassOf(new OfflineStoreError('write', new Error('x'), 'record'))).toBe('record');
    expect(failureClassOf(new TypeError('Do not know how to serialize a BigInt'))).toBe('record');
    expect(failureClassOf(new RangeError('Invalid time value'))).toBe('record');
    expect(failureClassOf(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') }))).toBe('transient');
    expect(failureClassOf(new Error('anything else'))).toBe('transient');
  });
});

describe('a batch with refused values', () => {
  const refusal = () => new RecordRefusedError('the store', 'table', undefined, 'no');
  const values = fc.array(fc.record({ id: fc.nat(), isBad: fc.boolean() }), { maxLength: 70 });

  it('is written without them, each value once, in at most 2n - 1 calls', async () => {
    await fc.assert(
      fc.asyncProperty(values, async (batch) => {
        const written: unknown[] = [];
        let calls = 0;
        const rejected = await writeInHalves(batch, async (part) => {
          calls += 1;
          if (part.some(({ isBad }) => isBad)) throw refusal();
          written.push(...part);
        });
        expect(written).toEqual(batch.filter(({ isBad }) => !isBad));
        expect(rejected.map(({ value }) => value)).toEqual(batch.filter(({ isBad }) => isBad));
        expect(calls).toBeLessThanOrEqual(Math.max(0, 2 * batch.length - 1));
      }),
    );
  });

  it('also when they harm only together, such as rows of one key in one statement', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 5 }), { maxLength: 40 }), async (keys) => {
        const written: number[] = [];
        const rejected = await writeInHalves(keys, async (part) => {
          if (new Set(part).size < part.length) throw refusal();
          written.push(...part);
        });
        expect([written, rejected]).toEqual([keys, []]);
      }),
    );
  });

  it('names them itself where the target says which they are', async () => {
    await fc.assert(
      fc.asyncProperty(values, async (batch) => {
        let calls = 0;
        const rejected = await writeInHalves(batch, async (part) => {
          calls += 1;
          const refused = new Map(part.flatMap(({ isBad }, index) => (isBad ? [[index, refusal()] as const] : [])));
          if (refused.size > 0) throw new RecordsRefusedError('topic', part.length, refused);
        });
        expect(rejected.map(({ value }) => value)).toEqual(batch.filter(({ isBad }) => isBad));
        expect(calls).toBeLessThanOrEqual(1);
      }),
    );
  });
});
