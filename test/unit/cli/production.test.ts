import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { loadPlatformConfig } from '#cli/project/config/platform_config';
import { checkListeners } from '#cli/project/production';
import { ROLES } from '#cli/terminal/choices';
import { assetPath } from '#kernel/project_root';

const GOOD = {
  ENVIRONMENT: 'services,production',
  DATABASE_PASSWORD: 'kX2-vZ8-qL0-mN4',
  REDIS_PASSWORD: 'tR7-wY1-bH5-pD9',
  TLS_ENDS_IN_FRONT: 'true',
  KAFKA_TLS: 'true',
  REDIS_TLS: 'true',
  DATABASE_SSL_MODE: 'require',
  MLFLOW_TRACKING_URI: 'https://mlflow.internal',
  MLFLOW_TRACKING_TOKEN: 'hV3-nQ8-xS1-gT6-eJ2',
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'production-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('passwords that everybody knows, or none, are refused; the message holds none of them', () => {
  expect(loadPlatformConfig(GOOD)).toMatchObject({ production: true, serving: { host: '0.0.0.0' } });
  const refusals = [
    [{ DATABASE_PASSWORD: 'postgres' }, /offlineStore\.password: is shorter than 12/],
    [{ DATABASE_PASSWORD: '' }, /offlineStore\.password: is empty/],
    [{ REDIS_PASSWORD: 'ab3-xyz' }, /onlineStore\.password: is shorter than 12/],
    [{ DEBUG: 'true' }, /debug: is on/],
    [{ ENVIRONMENT: 'embedded,production' }, /broker\.kind: is "disk_log"[\s\S]*registry\.kind: is "local"/],
  ] as const;
  for (const [change, message] of refusals) {
    expect(() => loadPlatformConfig({ ...GOOD, ...change })).toThrow(message);
  }
  expect(() => loadPlatformConfig({ ...GOOD, REDIS_PASSWORD: 'ab3-xyz' })).not.toThrow(/ab3-xyz/);
});

test('DynamoDB is laid over an environment, with tables of the namespace; in production, over TLS alone', () => {
  const env = { ...GOOD, FEATURE_STORE_BACKEND: 'dynamodb', NAMESPACE: 'shop' };
  expect(loadPlatformConfig(env).onlineStore).toMatchObject({
    ...{ kind: 'dynamodb', region: 'eu-central-1', tablePrefix: 'shop-headwater', predictions: { ttl: '90d' } },
  });
  expect(() => loadPlatformConfig({ ...env, DYNAMODB_ENDPOINT: 'http://10.0.0.1:8000' })).toThrow(
    /onlineStore\.tls: DynamoDB is spoken to without TLS/,
  );
});

test('every credential has to be hard to guess, whatever makes it easy', () => {
  const easy = fc.oneof(
    fc.constantFrom(
      'headwater-headwater',
      'Postgres123!',
      'P@ssw0rd1234',
      'changeme-changeme',
      'qwertyuiop123',
      '123456789012',
      'abcdefghijklmnop',
      'development-only',
      'letmeinletmein',
      '2026-01-01-2026',
    ),
    fc
      .tuple(fc.constantFrom(...'aZ0-.'), fc.integer({ min: 1, max: 60 }))
      .map(([letter, times]) => letter.repeat(times)),
    fc
      .tuple(fc.constantFrom('ab', '123', 'xyz', 'aA'), fc.integer({ min: 2, max: 20 }))
      .map(([part, times]) => part.repeat(times)),
  );
  const places = ['DATABASE_PASSWORD', 'REDIS_PASSWORD', 'MLFLOW_TRACKING_TOKEN', 'KAFKA_SASL_PASSWORD'] as const;
  const sasl = {
    KAFKA_SASL_MECHANISM: 'scram-sha-512',
    KAFKA_SASL_USERNAME: 'u',
    KAFKA_SASL_PASSWORD: 'wQ5-zN3-cK8-fB2',
  };
  expect(() => loadPlatformConfig({ ...GOOD, ...sasl })).not.toThrow();
  fc.assert(
    fc.property(easy, fc.constantFrom(...places), (secret, place) => {
      expect(() => loadPlatformConfig({ ...GOOD, ...sasl, [place]: secret })).toThrow(
        /(password|token): (is shorter than 12|can be guessed in about)/,
      );
      const inUrl = { MLFLOW_TRACKING_URI: `https://user:${encodeURIComponent(secret)}@mlflow` };
      expect(() => loadPlatformConfig({ ...GOOD, ...inUrl })).toThrow(/registry\.trackingUri: /);
    }),
    { numRuns: 60 },
  );
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const secret = createHash('sha256').update(String(seed)).digest('base64').slice(0, 20);
      expect(() => loadPlatformConfig({ ...GOOD, DATABASE_PASSWORD: secret, API_KEYS: `${secret}xx` })).not.toThrow();
    }),
    { numRuns: 30 },
  );
  expect(() => loadPlatformConfig({ ...GOOD, API_KEYS: 'aaaaaaaaaaaaaaaaaaaaaaaa' })).toThrow(
    /serving\.apiKeys\.0: can be guessed/,
  );
});

test('stores without TLS and MLflow without a login are refused, each by a name that waives it', () => {
  const plain = {
    'broker.tls': { KAFKA_TLS: 'false' },
    'onlineStore.tls': { REDIS_TLS: 'no' },
    'offlineStore.tls': { DATABASE_SSL_MODE: 'disable' },
    'registry.tls': { MLFLOW_TRACKING_URI: 'http://127.0.0.1:5000' },
    'registry.login': { MLFLOW_TRACKING_TOKEN: '' },
    'offlineStore.password': { DATABASE_PASSWORD: 'postgres' },
    debug: { DEBUG: 'true' },
  };
  for (const [name, change] of Object.entries(plain)) {
    const env = { ...GOOD, ...change };
    expect(() => loadPlatformConfig(env)).toThrow(new RegExp(`- ${name}: [\\s\\S]*PRODUCTION_WAIVERS=${name}$`));
    expect(() => loadPlatformConfig({ ...env, PRODUCTION_WAIVERS: name })).not.toThrow();
    const others = Object.keys(plain).filter((other) => other !== name);
    expect(() => loadPlatformConfig({ ...env, PRODUCTION_WAIVERS: others.join(',') })).toThrow(`- ${name}: `);
  }
  const all = Object.assign({}, ...Object.values(plain)) as Record<string, string>;
  expect(() => loadPlatformConfig({ ...GOOD, ...all, PRODUCTION_WAIVERS: Object.keys(plain).join(',') })).not.toThrow();
  const login = {
    ...GOOD,
    MLFLOW_TRACKING_TOKEN: '',
    MLFLOW_TRACKING_USERNAME: 'u',
    MLFLOW_TRACKING_PASSWORD: 'hV3-nQ8-xS1-gT6',
  };
  expect(() => loadPlatformConfig(login)).not.toThrow();
});

test('TLS and SASL come from the environment', () => {
  const config = loadPlatformConfig({
    ...GOOD,
    ...{
      KAFKA_CA_FILE: 'k.pem',
      KAFKA_SASL_MECHANISM: 'plain',
      KAFKA_SASL_USERNAME: 'u',
      KAFKA_SASL_PASSWORD: 'wQ5-zN3-cK8-fB2',
    },
    ...{ REDIS_CA_FILE: 'r.pem', REDIS_USERNAME: 'app', DATABASE_CA_FILE: 'd.pem' },
  });
  expect(config).toMatchObject({
    broker: { tls: { ca: 'k.pem' }, sasl: { mechanism: 'plain', username: 'u', password: 'wQ5-zN3-cK8-fB2' } },
    onlineStore: { tls: { ca: 'r.pem' }, username: 'app' },
    offlineStore: { sslMode: 'require', caFile: 'd.pem' },
  });
  const oauth = {
    KAFKA_SASL_MECHANISM: 'oauthbearer',
    KAFKA_SASL_TOKEN_URL: 'https://t',
    KAFKA_SASL_CLIENT_ID: 'c',
    KAFKA_SASL_CLIENT_SECRET: 'wQ5-zN3-cK8-fB2',
  };
  expect(loadPlatformConfig({ ...GOOD, ...oauth }).broker).toMatchObject({
    tls: true,
    sasl: { mechanism: 'oauthbearer', clientId: 'c' },
  });
});

test('listeners that let in every caller are refused, for the roles that have them', () => {
  const config = loadPlatformConfig(GOOD);
  expect(() => checkListeners(config, ['serving', 'gateway'])).toThrow(
    /serving listens on 0\.0\.0\.0[\s\S]*gateway listens/,
  );
  expect(() => checkListeners(config, ['pipeline', 'monitor'])).not.toThrow();
  const bare = loadPlatformConfig({ ...GOOD, TLS_ENDS_IN_FRONT: 'false' });
  expect(() => checkListeners(bare, ROLES)).toThrow(
    /gateway listens on 0\.0\.0\.0 without TLS[\s\S]*pipeline listens[\s\S]*featureApi listens[\s\S]*serving listens[\s\S]*monitor listens/,
  );
  const secured = loadPlatformConfig({
    ...GOOD,
    TLS_ENDS_IN_FRONT: '',
    TLS_CERT_FILE: 'cert.pem',
    TLS_KEY_FILE: 'key.pem',
  });
  expect(() => checkListeners(secured, ['pipeline', 'monitor'])).not.toThrow();
  const keys = loadPlatformConfig({
    ...GOOD,
    API_KEYS: 'kR4-vT9-mB2-zX6-wE1',
    GATEWAY_API_KEYS: 'jD8-qL3-hN7-cV5-yU0',
  });
  expect(() => checkListeners(keys, ['serving', 'gateway'])).not.toThrow();
  expect(() => checkListeners(keys, ['features'])).toThrow(/featureApi/);
});

test('secrets may be files', () => {
  const file = join(folder, 'password');
  writeFileSync(file, 'kX2-vZ8-qL0-mN4\n');
  const { DATABASE_PASSWORD: password, ...rest } = GOOD;
  const config = loadPlatformConfig({ ...rest, DATABASE_PASSWORD_FILE: file });
  expect(config.offlineStore).toMatchObject({ password });
  expect(() => loadPlatformConfig({ ...GOOD, DATABASE_PASSWORD_FILE: file })).toThrow(/are both set/);
  expect(() => loadPlatformConfig({ ...rest, DATABASE_PASSWORD_FILE: join(folder, 'none') })).toThrow(/cannot be read/);
  // A folder of them, as Kubernetes mounts a Secret: what is set otherwise counts, and other files are none.
  const mounted = join(folder, 'mounted');
  mkdirSync(join(mounted, '..data'), { recursive: true });
  writeFileSync(join(mounted, 'DATABASE_PASSWORD'), 'of-the-folder-2Zq\n');
  writeFileSync(join(mounted, 'REDIS_PASSWORD'), 'also-of-the-folder-7Xw');
  const whole = loadPlatformConfig({ ...rest, REDIS_PASSWORD: 'of-the-variable-9Kp', SECRETS_DIRECTORY: mounted });
  expect(whole).toMatchObject({
    offlineStore: { password: 'of-the-folder-2Zq' },
    onlineStore: { password: 'of-the-variable-9Kp' },
  });
  expect(() => loadPlatformConfig({ ...rest, SECRETS_DIRECTORY: join(folder, 'none') })).toThrow(
    /SECRETS_DIRECTORY names a folder that cannot be read/,
  );
});

test('what the repository deploys to production passes with good secrets, and with no others', () => {
  const { data } = parse(readFileSync(assetPath('k8s/overlays/production/config.yaml'), 'utf8')) as {
    readonly data: Readonly<Record<string, string>>;
  };
  const { MLFLOW_TRACKING_TOKEN_FILE: token, ...cluster } = data;
  expect(token).toBeDefined();
  const compose = parse(
    readFileSync(assetPath('docker-compose.prod.yml'), 'utf8').replaceAll(/!(reset|override)/g, ''),
  ) as {
    readonly 'x-production': { readonly environment: Readonly<Record<string, string>> };
  };
  const waivers = /^\$\{PRODUCTION_WAIVERS-(.*)\}$/.exec(
    compose['x-production'].environment.PRODUCTION_WAIVERS as string,
  )?.[1];
  const { DATABASE_PASSWORD, REDIS_PASSWORD, MLFLOW_TRACKING_TOKEN } = GOOD;
  const good = { DATABASE_PASSWORD, REDIS_PASSWORD };
  const machine = { ENVIRONMENT: 'services,production', PRODUCTION_WAIVERS: waivers };
  for (const env of [{ ...cluster, MLFLOW_TRACKING_TOKEN }, machine]) {
    expect(() => loadPlatformConfig({ ...env, ...good })).not.toThrow();
    expect(() => loadPlatformConfig({ ...env, ...good, DATABASE_PASSWORD: 'development-only' })).toThrow(
      /offlineStore\.password/,
    );
  }
});
