import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import { ConfigError } from '#configs/errors';
import { type LoadOptions, loadConfig } from '#configs/load';

const schema = z.strictObject({
  environment: z.string(),
  store: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('memory'), limit: z.int().positive() }),
    z.strictObject({ kind: z.literal('server'), host: z.string(), port: z.int().max(65_535), password: z.string() }),
  ]),
  brokers: z.array(z.string()).default([]),
});

const variables: LoadOptions<object>['variables'] = {
  STORE_HOST: { path: 'store.host', type: 'string', when: { path: 'store.kind', is: 'server' } },
  STORE_PORT: { path: 'store.port', type: 'number', when: { path: 'store.kind', is: 'server' } },
  STORE_PASSWORD: { path: 'store.password', type: 'string', when: { path: 'store.kind', is: 'server' } },
  BROKERS: { path: 'brokers', type: 'list' },
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'configs-'));
  write('default', 'environment: default\nstore: { kind: memory, limit: 10 }\n');
  write('services', 'environment: services\nstore: { kind: server, host: localhost, port: 5432, password: "" }\n');
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name: string, text: string): void => writeFileSync(join(directory, `${name}.yaml`), text);
const load = (environment: string, env: Record<string, string> = {}, overrides: Record<string, unknown> = {}) =>
  loadConfig({ schema, directory, environment, env, variables, overrides });

test('the environment file is laid over the default, and a section of another kind replaces it whole', () => {
  expect(load('services')).toEqual({
    environment: 'services',
    store: { kind: 'server', host: 'localhost', port: 5432, password: '' },
    brokers: [],
  });
});

test('environment variables and then overrides win', () => {
  const env = { STORE_HOST: 'db', STORE_PASSWORD: '12345', BROKERS: 'a:1, b:2' };
  expect(load('services', env, { 'store.port': 6000, 'store.host': undefined })).toMatchObject({
    store: { host: 'db', port: 6000, password: '12345' },
    brokers: ['a:1', 'b:2'],
  });
});

test('a variable for another kind of store is not applied', () => {
  write('memory', 'environment: memory\n');
  expect(load('memory', { STORE_HOST: 'db' }).store).toEqual({ kind: 'memory', limit: 10 });
});

test('${VAR} is replaced inside text and keeps its type when it stands alone', () => {
  write('custom', 'environment: "x-${NAME}"\nstore: { kind: memory, limit: "${LIMIT:-25}" }\n');
  expect(load('custom', { NAME: 'y' })).toMatchObject({ environment: 'x-y', store: { limit: 25 } });
  expect(load('custom', { NAME: 'y', LIMIT: '7' })).toMatchObject({ store: { limit: 7 } });
});

test('every problem is listed at once, by key, without the values', () => {
  write(
    'bad',
    'environment: "${MISSING}"\nstore: { kind: server, host: h, port: 70000, password: s3cret, colour: red }\n',
  );
  const attempt = () => load('bad', { STORE_PORT: 'eighty' });
  expect(attempt).toThrow(ConfigError);
  try {
    attempt();
  } catch (error) {
    const { message } = error as Error;
    expect(message).toContain('4 problems');
    expect(message).toContain('environment variable MISSING is not set; bad.environment needs it');
    expect(message).toContain('environment variable STORE_PORT must be a number');
    expect(message).toContain('store.port');
    expect(message).toContain('store.colour: unknown key');
    expect(message).not.toContain('s3cret');
  }
});

test('an unknown environment names the folder to look in', () => {
  expect(() => load('prodution')).toThrow(/there is no prodution\.yaml in .*: ENVIRONMENT .*name files/);
});

test('broken YAML names the file and the line', () => {
  write('broken', 'environment: a\nstore: {kind: memory\n');
  expect(() => load('broken')).toThrow(/broken\.yaml is not valid YAML at line/);
});

test('the result is frozen to the bottom', () => {
  const config = load('services');
  expect(() => Object.assign(config.store, { host: 'other' })).toThrow(TypeError);
});
