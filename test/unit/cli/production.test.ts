import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROLES } from '#cli/choices';
import { loadPlatformConfig } from '#cli/platform_config';
import { checkDoors } from '#cli/production';

const GOOD = {
  ENVIRONMENT: 'services,production',
  DATABASE_PASSWORD: 'kX2-vZ8-qL0-mN4',
  REDIS_PASSWORD: 'tR7-wY1-bH5-pD9',
  TLS_ENDS_IN_FRONT: 'true',
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'production-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('passwords that everybody knows, or none, are refused; the message holds none of them', () => {
  expect(loadPlatformConfig(GOOD)).toMatchObject({ production: true, serving: { host: '0.0.0.0' } });
  const refusals = [
    [{ DATABASE_PASSWORD: 'postgres' }, /offlineStore\.password is empty or one that everybody knows/],
    [{ DATABASE_PASSWORD: '' }, /offlineStore\.password is empty/],
    [{ REDIS_PASSWORD: 'ab3-xyz' }, /onlineStore\.password is shorter than 12/],
    [{ DEBUG: 'true' }, /debug is on/],
    [{ ENVIRONMENT: 'embedded,production' }, /broker\.kind is "memory"[\s\S]*registry\.kind is "local"/],
  ] as const;
  for (const [change, message] of refusals) {
    expect(() => loadPlatformConfig({ ...GOOD, ...change })).toThrow(message);
  }
  expect(() => loadPlatformConfig({ ...GOOD, REDIS_PASSWORD: 'ab3-xyz' })).not.toThrow(/ab3-xyz/);
});

test('doors that let in everybody are refused, for the roles that have them', () => {
  const config = loadPlatformConfig(GOOD);
  expect(() => checkDoors(config, ['serving', 'gateway'])).toThrow(
    /serving listens on 0\.0\.0\.0[\s\S]*gateway listens/,
  );
  expect(() => checkDoors(config, ['pipeline', 'monitor'])).not.toThrow();
  const bare = loadPlatformConfig({ ...GOOD, TLS_ENDS_IN_FRONT: 'false' });
  expect(() => checkDoors(bare, ROLES)).toThrow(
    /gateway listens on 0\.0\.0\.0 without TLS[\s\S]*pipeline listens[\s\S]*featureApi listens[\s\S]*serving listens[\s\S]*monitor listens/,
  );
  const secured = loadPlatformConfig({
    ...GOOD,
    TLS_ENDS_IN_FRONT: '',
    TLS_CERT_FILE: 'cert.pem',
    TLS_KEY_FILE: 'key.pem',
  });
  expect(() => checkDoors(secured, ['pipeline', 'monitor'])).not.toThrow();
  const keys = loadPlatformConfig({ ...GOOD, API_KEYS: 'a-key-that-is-long', GATEWAY_API_KEYS: 'another-long-key' });
  expect(() => checkDoors(keys, ['serving', 'gateway'])).not.toThrow();
  expect(() => checkDoors(keys, ['features'])).toThrow(/featureApi/);
});

test('secrets may be files', () => {
  const file = join(folder, 'password');
  writeFileSync(file, 'kX2-vZ8-qL0-mN4\n');
  const { DATABASE_PASSWORD: password, ...rest } = GOOD;
  const config = loadPlatformConfig({ ...rest, DATABASE_PASSWORD_FILE: file });
  expect(config.offlineStore).toMatchObject({ password });
  expect(() => loadPlatformConfig({ ...GOOD, DATABASE_PASSWORD_FILE: file })).toThrow(/are both set/);
  expect(() => loadPlatformConfig({ ...rest, DATABASE_PASSWORD_FILE: join(folder, 'none') })).toThrow(/cannot be read/);
});
