import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { ttlsOf } from '#feature_store/stores';
import { systemClock } from '#kernel/time';
import { keyOf } from '../../support/entity_keys.ts';
import { describeEntityKeysMigration, listeningLogger, MIGRATED } from './entity_keys_migration_contract.ts';

describeEntityKeysMigration('PGlite', async () => new PgliteExecutor(mkdtempSync(join(tmpdir(), 'keys-'))));

/** A line as releases before entity keys wrote it. */
const line = (entry: object): string => {
  const json = JSON.stringify(entry);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
};

test("the memory store's file of a release before entity keys is taken over, once; a counter is of the entity that has rows", async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'keys-')), 'rows');
  const now = Date.now();
  const row = (view: string, entityKey: string) => ({
    ...{ view, version: 1, entityKey, eventTime: now, computedAt: now, values: { was: entityKey } },
  });
  const count = (entity: string, value: number) => ({ entity, counter: 'attempts', value });
  writeFileSync(
    file,
    [
      ...['a1', 'a|b', 'x9', 'account:x9'].map((key) => row('fraud', key)),
      ...[row('user_activity', 'x9'), row('user_activity', 'u1')],
      ...[row('sensor', 's1|temperature'), row('sensor', 'a|b|temperature'), row('retired', 'r1')],
      ...[count('a1', 3), count('u1', 4), count('x9', 5), count('nobody', 6)],
    ]
      .map(line)
      .join(''),
  );
  for (const start of ['first', 'second']) {
    const { lines, log } = listeningLogger();
    const store = new MemoryOnlineStore(
      { log, clock: systemClock, ttlMs: ttlsOf(MIGRATED), views: MIGRATED },
      { file },
    );
    await store.start();
    const was = async (view: string, keys: readonly ReturnType<typeof keyOf>[]) =>
      (await store.read({ view, version: 1 }, keys)).map((found) => found?.values.was);
    expect(
      await was(
        'fraud',
        ['a1', 'a|b', 'x9', 'account:x9'].map((id) => keyOf(id)),
      ),
    ).toEqual(['a1', 'a|b', 'x9', 'account:x9']);
    expect(await was('user_activity', [keyOf('x9', 'user'), keyOf('u1', 'user'), keyOf('a1', 'user')])).toEqual([
      'x9',
      'u1',
      undefined,
    ]);
    expect(await was('sensor', ['sensor:s1|temperature' as never])).toEqual(['s1|temperature']);
    expect(await store.increment(keyOf('a1'), 'attempts', start === 'first' ? 1 : 0)).toBe(4);
    expect(await store.increment(keyOf('u1', 'user'), 'attempts', 0)).toBe(4);
    expect(await store.increment(keyOf('x9', 'user'), 'attempts', 0)).toBe(0);
    expect(lines).toEqual([
      expect.objectContaining({
        ...{ msg: 'online_store.entity_keys_left', keys: 4 },
        examples: ['a|b|temperature', 'r1', 'x9', 'nobody'],
      }),
    ]);
    await store.stop();
  }
});
