import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { PORTS, ROLES } from '#cli/terminal/choices';
import { assetPath } from '#kernel/project_root';
import { PlatformProcess } from '../support/platforms/platform_process.ts';
import { makeSelfSigned } from '../support/servers/self_signed.ts';

const directory = mkdtempSync(join(tmpdir(), 'tls-'));
let platform: PlatformProcess;
beforeAll(async () => {
  const { certFile, keyFile } = makeSelfSigned(directory, 'headwater');
  platform = await PlatformProcess.start(directory, { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile });
}, 90_000);
afterAll(async () => {
  await platform?.terminate();
  rmSync(directory, { recursive: true, force: true });
});

const handshake = (port: number): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN as string);
      socket.destroy();
    });
    socket.on('error', reject);
  });

const headerOf = (port: number, name: string): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/health/live', rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve(answer.headers[name] as string | undefined);
    }).on('error', reject);
  });

test.each(ROLES)('%s listens with TLS, and with nothing else', async (role) => {
  expect(platform.urls[role]).toMatch(/^https:/);
  const port = Number(new URL(platform.urls[role]).port);
  expect(await handshake(port)).toBe('headwater');
  expect(await headerOf(port, 'strict-transport-security')).toMatch(/^max-age=\d{7,}/);
  await expect(fetch(`http://127.0.0.1:${port}/health/live`)).rejects.toThrow();
});

test('a container that speaks TLS knows that it is well', () => {
  const ports = ROLES.map((role) => [PORTS[role].variable, new URL(platform.urls[role]).port]);
  const env = { ...process.env, NODE_OPTIONS: '', ...Object.fromEntries(ports) };
  expect(spawnSync(process.execPath, [assetPath('dist/cli/roles/health_check.js')], { env }).status).toBe(0);
});
