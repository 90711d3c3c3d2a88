import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runCommand } from '../../support/platforms/command_line.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the configuration is shown as it is here, without secrets', async () => {
  const env = {
    API_KEYS: 'a-key-that-nobody-sees',
    API_PORT: '8123',
    ENVIRONMENT: 'services',
    DATABASE_PASSWORD: 'hidden-too',
  };
  const { code, stdout } = await runCommand(folder, ['config', '--json'], env);
  expect(code).toBe(0);
  expect(stdout).not.toMatch(/a-key-that-nobody-sees|hidden-too/);
  expect(JSON.parse(stdout)).toMatchObject({
    ...{ serving: { port: 8_123, apiKeys: '(set)' }, offlineStore: { kind: 'postgres', password: '(set)' } },
    gateway: { apiKeys: [] },
  });
  expect((await runCommand(folder, ['config'], env)).stdout).toMatch(/^serving:\n/m);
});
