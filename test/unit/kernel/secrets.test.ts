import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PlatformError } from '#kernel/errors';
import { hideSecretFields, hideSecrets, REDACTED, rememberSecrets, secretsIn } from '#kernel/secrets';

const letters = fc.constantFrom(...'abcXYZ019-_.~');
const credential = fc.string({ unit: letters, minLength: 12, maxLength: 30 }).map((text) => `qZ${text}7k`);

test('credentials in URLs, headers and assignments are in no text, whatever is around them', () => {
  fc.assert(
    fc.property(
      credential,
      fc.constantFrom('', ' "', "('", 'at ', 'x='),
      fc.constantFrom('', '" ', "')", ': refused'),
      (secret, before, after) => {
        for (const text of [
          `redis://user:${secret}@host:6379/0`,
          `https://${secret}@host/path`,
          `postgres://u:a@${secret}@host/db`,
          `https://host/path?api_key=${secret}&x=1`,
          `https://host/?x=1&X-Amz-Signature=${secret}`,
          `https://host/?access_token=${secret}#part`,
          `authorization: Bearer ${secret}`,
          `Basic ${secret}==`,
          `host=h password=${secret}`,
        ]) {
          expect(hideSecrets(`${before}${text}${after}`)).not.toContain(secret);
          expect(new Sample(`${before}${text}${after}`).message).not.toContain(secret);
        }
      },
    ),
    { numRuns: 300 },
  );
});

class Sample extends PlatformError {
  readonly code = 'SAMPLE';
  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}

test('what holds no credential stays as it is', () => {
  for (const text of [
    'MLflow at http://127.0.0.1:5000 did not answer GET /api/2.0/mlflow/registered-models/get',
    'models:/fraud_detector@champion',
    'http://host/a/b@c',
    'offlineStore.password: Invalid input',
    'tokens=12 is a count',
    'topic raw-events[3] no longer holds offset 17',
  ]) {
    expect(hideSecrets(text)).toBe(text);
  }
});

test('a remembered value is in no text, as it is, in JSON or in a URL; short and well-known ones are no secrets', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii', minLength: 8, maxLength: 30 }), (value) => {
      fc.pre(/^[^a-z]{3}/.test(value));
      rememberSecrets([value]);
      expect(hideSecrets(`before ${value} after`)).not.toContain(value);
      const line = hideSecrets(JSON.stringify({ text: `before ${value} after` }));
      expect(JSON.stringify(JSON.parse(line))).not.toContain(JSON.stringify(value).slice(1, -1));
      expect(hideSecrets(`/?q=${encodeURIComponent(value)}`)).not.toContain(encodeURIComponent(value));
    }),
    { numRuns: 200 },
  );
  rememberSecrets(['headwater', 'short']);
  expect(hideSecrets('headwater is short')).toBe('headwater is short');
});

test('fields are hidden by their names at any depth; others stay', () => {
  const nested = {
    a: [{ b: { clientSecret: 'x', API_KEY: 'y', tokenUrl: 'https://t', apiKeys: ['z'], count: 1, maxTokens: 4 } }],
  };
  expect(hideSecretFields(nested)).toEqual({
    a: [
      {
        b: {
          clientSecret: REDACTED,
          API_KEY: REDACTED,
          tokenUrl: 'https://t',
          apiKeys: REDACTED,
          count: 1,
          maxTokens: 4,
        },
      },
    ],
  });
  const config = {
    apiKeys: ['one', { key: 'two', name: 'n', scopes: ['s'] }],
    url: 'http://u:three@h/?token=four',
    tls: { key: '/path' },
  };
  expect(secretsIn(config).map(({ path, value }) => `${path} ${value}`)).toEqual([
    'apiKeys.0 one',
    'apiKeys.1.key two',
    'url three',
    'url three',
    'url four',
  ]);
});
