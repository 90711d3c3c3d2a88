import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { assetPath } from '#kernel/project_root';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import type { RunningServer } from '#scripts/services/managed_process';
import { startKafka } from '#scripts/services/servers';
import { pollUntil } from '../../conformance/connectors/broker_contract.ts';
import { goodEvent } from '../../support/definitions/good_event.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { serviceAddress } from '../service_address.ts';

// A Kafka that wants TLS and a password, by each mechanism; and what is said when they are wrong.

const STORE_PASSWORD = 'for-tests-only';
const unsecuredToken = (claims: object): string => {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${encode({ alg: 'none' })}.${encode(claims)}.`;
};

let folder: string;
let server: RunningServer;
let tokens: Server;
let tokenRequests = 0;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kafka-security-'));
  const store = join(folder, 'broker.p12');
  const keytool = (...args: string[]): void => {
    execFileSync('keytool', [...args, '-keystore', store, '-storetype', 'PKCS12', '-storepass', STORE_PASSWORD], {
      stdio: 'pipe',
    });
  };
  keytool(
    '-genkeypair',
    '-alias',
    'broker',
    '-keyalg',
    'RSA',
    '-dname',
    'CN=broker.test',
    '-ext',
    'SAN=dns:broker.test',
  );
  keytool('-exportcert', '-rfc', '-alias', 'broker', '-file', join(folder, 'ca.pem'));
  server = await startKafka(join(folder), {
    scramUsers: ['name=bob,password=builder'],
    settings: {
      listeners: 'PLAINTEXT://127.0.0.1:$PLAIN,SECURE://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$CONTROLLER',
      'advertised.listeners': 'PLAINTEXT://127.0.0.1:$PLAIN,SECURE://127.0.0.1:$PORT',
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT',
      'ssl.keystore.location': store,
      'ssl.keystore.type': 'PKCS12',
      'ssl.keystore.password': STORE_PASSWORD,
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,OAUTHBEARER',
      'listener.name.secure.sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,OAUTHBEARER',
      'listener.name.secure.plain.sasl.jaas.config':
        'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="wonderland";',
      'listener.name.secure.scram-sha-256.sasl.jaas.config':
        'org.apache.kafka.common.security.scram.ScramLoginModule required;',
      'listener.name.secure.oauthbearer.sasl.jaas.config':
        'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
    },
  });
  tokens = createServer((request, response) => {
    tokenRequests += 1;
    const isKnown = request.headers.authorization === `Basic ${Buffer.from('client:secret').toString('base64')}`;
    const seconds = Math.floor(Date.now() / 1_000);
    const token = unsecuredToken({ sub: 'carol', iat: seconds, exp: seconds + 600, scope: [] });
    response.statusCode = isKnown ? 200 : 401;
    response.end(JSON.stringify(isKnown ? { access_token: token, expires_in: 600 } : { error: 'invalid_client' }));
  });
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
}, 120_000);
afterAll(async () => {
  tokens.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const brokerWith = (settings: object): KafkaBroker =>
  new KafkaBroker(
    { log: silentLogger, clock: systemClock },
    kafkaConfigSchema.parse({
      kind: 'kafka',
      brokers: [`127.0.0.1:${server.env.TEST_KAFKA_EXTRA_PORT}`],
      tls: { ca: join(folder, 'ca.pem'), serverName: 'broker.test' },
      ...settings,
    }),
  );
const tokenUrl = (): string => `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token`;

test.each([
  ['PLAIN', () => ({ mechanism: 'plain', username: 'alice', password: 'wonderland' })],
  ['SCRAM', () => ({ mechanism: 'scram-sha-256', username: 'bob', password: 'builder' })],
  [
    'OAUTHBEARER',
    () => ({ mechanism: 'oauthbearer', tokenUrl: tokenUrl(), clientId: 'client', clientSecret: 'secret' }),
  ],
] as const)(
  'over TLS with %s, records go and come',
  async (name, sasl) => {
    const broker = brokerWith({ sasl: sasl() });
    await broker.start();
    const topic = `secure-${name}`;
    await broker.ensureTopics([{ name: topic, partitions: 1 }]);
    await broker.producer.send(topic, [{ key: 'k', value: 'secret' }]);
    const reader = await broker.openPartition(topic, '0', { startAt: 'earliest' });
    expect((await pollUntil(reader, 1)).map(({ value }) => value.toString())).toEqual(['secret']);
    await broker.stop();
  },
  60_000,
);

/** The variables of the how-to's block, with what it says of them. */
const variablesOfHowTo = (): Readonly<Record<string, string>> => {
  const [, block = ''] = /```sh\n([\s\S]*?)```/.exec(
    readFileSync(assetPath('docs/how_to/connect_kafka_with_sasl.md'), 'utf8'),
  ) ?? [''];
  return Object.fromEntries(
    [...block.matchAll(/^([A-Z_]+)=(\S+)/gm)].map(([, name = '', value = '']) => [name, value]),
  );
};

test('the how-to leads to a gateway that writes to a broker with SASL', async () => {
  const redis = new URL(serviceAddress('TEST_REDIS_URL'));
  const own = {
    KAFKA_BROKERS: `127.0.0.1:${server.env.TEST_KAFKA_EXTRA_PORT}`,
    ...{ KAFKA_SASL_MECHANISM: 'scram-sha-256', KAFKA_SASL_USERNAME: 'bob', KAFKA_SASL_PASSWORD: 'builder' },
  };
  const shown = variablesOfHowTo();
  expect(Object.keys(shown).sort()).toEqual(['ENVIRONMENT', ...Object.keys(own)].sort());
  const platform = await PlatformProcess.start(join(folder, 'platform'), {
    ...{ ...shown, ...own, ROLES: 'gateway' },
    ...{ KAFKA_CA_FILE: join(folder, 'ca.pem'), KAFKA_SERVER_NAME: 'broker.test' },
    ...{ REDIS_HOST: redis.hostname, REDIS_PORT: redis.port },
  });
  try {
    const { status } = await fetch(`${platform.urls.gateway}/ingest`, {
      ...{
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(goodEvent('by-sasl')),
      },
    });
    expect(status).toBe(202);
    const broker = brokerWith({ sasl: { mechanism: 'scram-sha-256', username: 'bob', password: 'builder' } });
    await broker.start();
    const partitions = await broker.listPartitions('raw-events');
    const found = await Promise.any(
      partitions.map(async (partition) =>
        pollUntil(await broker.openPartition('raw-events', partition, { startAt: 'earliest' }), 1),
      ),
    );
    expect(String(found[0]?.value)).toContain('by-sasl');
    await broker.stop();
  } finally {
    await platform.terminate();
  }
}, 120_000);

test('a token serves all connections until it is about to expire', () => {
  expect(tokenRequests).toBe(1);
});

test.each([
  [
    'a wrong password',
    { sasl: { mechanism: 'plain', username: 'alice', password: 'looking-glass' } },
    /Authentication failed/,
  ],
  [
    'an unknown user',
    { sasl: { mechanism: 'scram-sha-256', username: 'eve', password: 'x' } },
    /Authentication failed|invalid credentials/,
  ],
  [
    'a mechanism that is off',
    { sasl: { mechanism: 'scram-sha-512', username: 'bob', password: 'builder' } },
    /mechanism|SCRAM-SHA-512/i,
  ],
  ['a certificate for another name', { tls: 'other name' }, /does not match certificate|altnames/],
  ['a certificate that nobody vouches for', { tls: true }, /self.signed certificate|unable to verify/],
  ['no TLS at all', { tls: false }, /not available/],
  ['a certificate file that is not there', { tls: { ca: '/nowhere/ca.pem' } }, /certificate file \/nowhere\/ca\.pem/],
])(
  '%s is an error that says so',
  async (_, settings, message) => {
    const sasl = { mechanism: 'plain', username: 'alice', password: 'wonderland' };
    const tls =
      (settings as { tls?: unknown }).tls === 'other name'
        ? { tls: { ca: join(folder, 'ca.pem'), serverName: 'elsewhere.test' } }
        : {};
    const start = async (): Promise<void> => {
      const broker = brokerWith({ sasl, connectionTimeoutMs: 500, ...settings, ...tls });
      await broker.start().finally(() => broker.stop());
    };
    await expect(start()).rejects.toMatchObject({
      // A broker that answers is not away.
      code: expect.stringMatching(/^CONNECTOR_(UNAVAILABLE|KAFKA_REFUSED)$/),
      message: expect.stringMatching(message),
    });
  },
  60_000,
);
