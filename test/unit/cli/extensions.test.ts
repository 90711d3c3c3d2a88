import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { type ExtensionSpec, extensionsOf } from '#cli/project/extensions';
import { createBroker } from '#connectors/catalog';
import { defineConnector } from '#connectors/define_connector';
import { defineOnlineStore } from '#feature_store/online/define_online_store';
import { createOnlineStore } from '#feature_store/stores';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createRegistry, defineRegistry } from '#registry/catalog';

const settings = z.strictObject({});
const use = (name: string) => ({ kind: 'extension' as const, use: name, settings: {} });
const deps = { log: silentLogger, clock: systemClock, views: [] };
/** An object that has no methods, as JavaScript can give one. */
const nothing = (): never => ({ kind: 'empty', name: 'empty' }) as never;

test.each<[string, ExtensionSpec, string]>([
  ['a connector', { connectors: [{ name: 'lines', settings } as never] }, 'connectors: "lines" has no method create()'],
  [
    'an online store',
    { stores: { online: [{ name: 'a', settings } as never] } },
    'stores.online: "a" has no method create()',
  ],
  ['a registry', { registries: [{ name: 'shelf', settings } as never] }, 'registries: "shelf" has no method create()'],
  ['a trainer', { trainers: [{ name: 't', settings } as never] }, 'trainers: "t" has no method train()'],
  ['a place of data', { personalData: [{ name: 'notes' } as never] }, 'personalData: "notes" has no method open()'],
  [
    'its entity',
    { personalData: [{ name: 'notes', open: nothing } as never] },
    'personalData: "notes" needs entity, as entity() makes it',
  ],
  ['a plugin', { plugins: { serving: [{ name: 'p' } as never] } }, 'plugins.serving: "p" has no method register()'],
  [
    'settings',
    { registries: [{ name: 'shelf', create: nothing } as never] },
    'registries: "shelf" needs settings, a zod schema',
  ],
  ['a name', { trainers: [{ settings } as never] }, 'trainers: each needs a name'],
])('a definition without what %s needs is refused by its name', (_, spec, message) => {
  expect(() => extensionsOf('headwater.config', spec)).toThrow(`headwater.config: ${message}`);
});

test('two extensions of one list must not have one name; of two lists they may', () => {
  const registry = defineRegistry({ name: 'one', settings, create: nothing });
  expect(() => extensionsOf('headwater.config', { registries: [registry, registry] })).toThrow('two are called "one"');
  const connector = defineConnector({ name: 'one', settings, create: nothing });
  expect(extensionsOf('headwater.config', { registries: [registry], connectors: [connector] })).toMatchObject({
    ...{ registries: [registry], connectors: [connector] },
  });
});

test('methods that a created part lacks are named before it is used', async () => {
  const connectors = [defineConnector({ name: 'empty', settings, create: nothing })];
  await expect(createBroker(deps, use('empty'), connectors)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(
      'broker "empty": what its create() returns has no start(), drain(), stop(), ensureTopics()',
    ),
  });
  const stores = [defineOnlineStore({ name: 'empty', settings, create: nothing })];
  expect(() => createOnlineStore(deps, use('empty'), stores)).toThrow(
    /^online store "empty": .* has no start\(\), drain\(\), stop\(\), write\(\), read\(\)/,
  );
  const registries = [defineRegistry({ name: 'empty', settings, create: nothing })];
  expect(() => createRegistry(use('empty'), undefined, registries)).toThrow(
    /^registry "empty": .* has no register\(\), listModels\(\)/,
  );
});
