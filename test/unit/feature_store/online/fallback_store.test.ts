import { expect, jest, test } from '@jest/globals';
import { OfflineStoreError, OnlineStoreError } from '#feature_store/errors';
import { FallbackOnlineStore } from '#feature_store/online/fallback_store';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { keyOf } from '../../../support/entity_keys.ts';
import { tinyOnline } from '../../../support/platforms/tiny_serving.ts';
import { turns } from '../../../support/turns.ts';

test('while neither store answers, readers are told at once; when history is back, they are answered', async () => {
  const asked = { online: 0, history: 0 };
  let isHistoryAway = true;
  const metrics = createMetricsRegistry({ process: false });
  const online = {
    ...tinyOnline,
    read: async () => {
      asked.online += 1;
      throw new OnlineStoreError('read', new Error('away'));
    },
  };
  const offline = {
    features: {
      newestOf: async () => {
        asked.history += 1;
        await turns(3);
        if (isHistoryAway) throw new OfflineStoreError('read', new Error('away'), 'transient');
        return [];
      },
    },
    erasures: { read: async () => ({ secret: 's', erasures: [] }) },
  };
  const deps = { offline, log: silentLogger, clock: systemClock, metrics, ttlMs: new Map() };
  const store = new FallbackOnlineStore(online, deps);
  const view = { view: 'tiny', version: 1 };
  for (let read = 0; read < 3; read += 1) await expect(store.read(view, [keyOf('e1')])).rejects.toThrow(/away/);
  for (let read = 0; read < 50; read += 1)
    await expect(store.read(view, [keyOf('e1')])).rejects.toThrow(/could not read/);
  expect(asked).toEqual({ online: 3, history: 3 });
  expect(await metrics.metrics()).toContain('circuit_open{target="history read instead"} 1');
  isHistoryAway = false;
  const { now } = Date;
  const later = jest.spyOn(Date, 'now').mockImplementation(() => now() + 1_100);
  expect(await store.read(view, [keyOf('e1')])).toEqual([undefined]);
  later.mockRestore();
  expect(await metrics.metrics()).toContain('circuit_open{target="history read instead"} 0');
});
