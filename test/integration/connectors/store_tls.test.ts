import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { freePort } from '#connectors/http/free_port';
import { connectRedis, createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { offlineStoreConfigSchema } from '#feature_store/config';
import { silentLogger } from '#monitoring/log';
import { runCommand } from '../../support/platforms/command_line.ts';
import { makeSelfSigned } from '../../support/servers/self_signed.ts';
import { serviceAddress } from '../service_address.ts';

// TLS to stores: what is required is not done without, and a certificate without a known issuer is refused.

const postgres = new URL(serviceAddress('TEST_POSTGRES_URL'));
const plainRedis = new URL(serviceAddress('TEST_REDIS_URL'));
const folder = mkdtempSync(join(tmpdir(), 'store-tls-'));
const { certFile, keyFile } = makeSelfSigned(folder, 'localhost');
let server: ChildProcess;
let port: number;

beforeAll(async () => {
  port = await freePort();
  const tls = [
    '--tls-port',
    `${port}`,
    '--tls-cert-file',
    certFile,
    '--tls-key-file',
    keyFile,
    '--tls-auth-clients',
    'no',
  ];
  server = spawn('redis-server', ['--port', '0', ...tls, '--save', '', '--dir', folder], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('exit', () => reject(new Error('redis-server has ended')));
    server.stdout?.on('data', (text: Buffer) => {
      if (text.includes('Ready to accept connections')) resolve();
    });
  });
}, 30_000);
afterAll(() => {
  server.kill();
});

async function ask(settings: object): Promise<string> {
  const config = redisConfigSchema.parse({ connectTimeoutMs: 1_500, commandTimeoutMs: 1_500, ...settings });
  const redis = createRedis(config, silentLogger);
  try {
    await connectRedis(redis, config);
    return await redis.ping();
  } finally {
    redis.disconnect();
  }
}

test('Redis over TLS answers who trusts its certificate, and no other', async () => {
  expect(await ask({ port, tls: { ca: certFile, serverName: 'localhost' } })).toBe('PONG');
  await expect(ask({ port, tls: true })).rejects.toThrow(/self.signed certificate/);
  await expect(ask({ port, tls: { ca: certFile, serverName: 'other.example' } })).rejects.toThrow(/Redis at/);
  await expect(ask({ port, tls: false })).rejects.toThrow(/Redis at/);
  await expect(ask({ port, tls: { ca: join(folder, 'none.pem') } })).rejects.toThrow(/none\.pem/);
  await expect(ask({ port: Number(plainRedis.port), tls: true })).rejects.toThrow(/Redis at/);
}, 60_000);

test('PostgreSQL without TLS is refused where sslMode requires it, at once, and says what to do', async () => {
  const settings = {
    kind: 'postgres',
    host: postgres.hostname,
    port: Number(postgres.port),
    database: postgres.pathname.slice(1),
    user: postgres.username,
  };
  const open = async (more: object): Promise<void> => {
    const store = createOfflineDatabase(
      { log: silentLogger, views: [] },
      offlineStoreConfigSchema.parse({ ...settings, ...more }),
    );
    try {
      await store.start(new AbortController().signal);
    } finally {
      await store.stop();
    }
  };
  await open({ sslMode: 'disable' });
  await expect(open({ sslMode: 'require' })).rejects.toMatchObject({
    code: 'FEATURE_STORE_OFFLINE',
    retryable: false,
    message: expect.stringMatching(/sslMode is "require", and the server has no TLS/),
  });
}, 60_000);

test('the platform does not start where sslMode requires what the server does not have', async () => {
  const env = {
    ...{ ROLES: 'monitor', DATABASE_SSL_MODE: 'require', MONITOR_PORT: '0' },
    ...{
      DATABASE_HOST: postgres.hostname,
      DATABASE_PORT: postgres.port,
      DATABASE_USER: postgres.username,
      DATABASE_NAME: postgres.pathname.slice(1),
    },
  };
  const services = {
    ...env,
    ENVIRONMENT: 'services',
    INGEST_SINK: 'disk_log',
    REDIS_HOST: plainRedis.hostname,
    REDIS_PORT: plainRedis.port,
  };
  const { code, stderr } = await runCommand(folder, ['start'], services);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/sslMode is "require", and the server has no TLS/)]);
}, 60_000);
