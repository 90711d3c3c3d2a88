import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { KAFKA_ERRORS } from '#connectors/kafka/error_codes';
import { kafkaErrorOf, understood } from '#connectors/kafka/errors';
import { createErrorFromCode } from '#connectors/kafka/kafkajs_cluster';
import { PlatformError } from '#kernel/errors';
import { cacheFolder } from '#scripts/services/install';

const PROGRAM = `
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;
public class ErrorCodes {
  public static void main(String[] args) {
    for (Errors error : Errors.values())
      System.out.println(error.code() + "\\t" + error.name() + "\\t" + (error.exception() instanceof RetriableException));
  }
}`;

/** Every code of the Kafka that the tests run, from its own client library. */
function codesOfKafka(): { readonly code: number; readonly name: string; readonly isRetriable: boolean }[] {
  const folder = mkdtempSync(join(tmpdir(), 'kafka-errors-'));
  try {
    const file = join(folder, 'ErrorCodes.java');
    writeFileSync(file, PROGRAM);
    const output = execFileSync('java', ['-cp', join(cacheFolder, 'kafka-4.1.2', '*'), file], { encoding: 'utf8' });
    return output
      .trim()
      .split('\n')
      .map((line) => line.split('\t'))
      .map(([code, name, isRetriable]) => ({
        code: Number(code),
        name: name as string,
        isRetriable: isRetriable === 'true',
      }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('every error code of the protocol has a kind, and what Kafka’s clients retry is retried', () => {
  const codes = codesOfKafka().filter(({ code }) => code !== 0);
  expect(codes.length).toBeGreaterThan(100);
  expect(KAFKA_ERRORS.map(([code, name]) => [code, name])).toEqual(codes.map(({ code, name }) => [code, name]));
  for (const { code, name, isRetriable } of codes) {
    const { kind } = kafkaErrorOf(code);
    if (isRetriable) expect([name, kind]).toEqual([name, expect.stringMatching(/^(retryable|topic)$/)]);
    else expect([name, kind]).not.toEqual([name, 'retryable']);
  }
}, 60_000);

test('an error is Kafka’s absence only when it is', () => {
  for (const [code, name, kind] of KAFKA_ERRORS) {
    const context = { where: 'Kafka at k:9092', topic: 't', partition: '3', offset: 17n };
    const error = understood(createErrorFromCode(code), context);
    if (!(error instanceof PlatformError)) throw new Error(`${name} is not understood`);
    const isAbsence = kind === 'retryable' || kind === 'unavailable';
    expect([name, error.code === 'CONNECTOR_UNAVAILABLE']).toEqual([name, isAbsence]);
    if (!isAbsence) expect(error.message).not.toContain('is not available');
  }
});

test.each([
  ['OFFSET_OUT_OF_RANGE', 1, 'CONNECTOR_OFFSET_OUT_OF_RANGE', false],
  ['INVALID_TIMESTAMP', 32, 'CONNECTOR_RECORD_REFUSED', false],
  ['MESSAGE_TOO_LARGE', 10, 'CONNECTOR_RECORD_REFUSED', false],
  ['UNKNOWN_TOPIC_OR_PARTITION', 3, 'CONNECTOR_UNKNOWN_TOPIC', false],
  ['TOPIC_AUTHORIZATION_FAILED', 29, 'CONNECTOR_KAFKA_REFUSED', true],
  ['INVALID_REQUIRED_ACKS', 21, 'CONNECTOR_KAFKA_REFUSED', false],
  ['NOT_ENOUGH_REPLICAS', 19, 'CONNECTOR_UNAVAILABLE', true],
  ['a code of the future', 9_999, 'CONNECTOR_UNAVAILABLE', true],
])('%s', (_, code, expected, retryable) => {
  expect(understood(createErrorFromCode(code), { where: 'Kafka', topic: 't' })).toMatchObject({
    code: expected,
    retryable,
  });
});

test('a mistake of the program is not an outage', () => {
  const mistake = new RangeError('The number 1.5 cannot be converted to a BigInt');
  expect(understood(mistake, { where: 'Kafka' })).toBe(mistake);
  const network = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  expect(understood(network, { where: 'Kafka' })).toMatchObject({ code: 'CONNECTOR_UNAVAILABLE' });
});
