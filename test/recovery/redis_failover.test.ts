import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Delivery } from '#connectors/delivery';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { silentLogger } from '#monitoring/log';
import { serviceAddress } from '../integration/service_address.ts';
import { keyOf } from '../support/entity_keys.ts';
import { type OpenStores, openStores } from '../support/servers/online_stores.ts';
import { SENTINEL_PASSWORD, startRedisServer, startSentinelGroup, until } from '../support/servers/redis_servers.ts';

let folder: string;
const opened: OpenStores[] = [];
const stops: (() => Promise<void>)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'failover-'));
});
afterEach(async () => {
  for (const stores of opened.splice(0)) await stores.close();
  for (const stop of stops.splice(0).reverse()) await stop();
  rmSync(folder, { recursive: true, force: true });
});

async function open(redis: object): Promise<OpenStores> {
  const stores = await openStores({ commandTimeoutMs: 500, ...redis }, new URL(serviceAddress('TEST_POSTGRES_URL')));
  opened.push(stores);
  return stores;
}

/** Writes as a pipeline does (both stores, tried again until they are written) and reads, both on and on. */
function load({ store, offline, view, row, metrics }: OpenStores) {
  const delivery = new Delivery(
    { log: silentLogger, metrics },
    { target: 'online store', firstDelayMs: 20, longestDelayMs: 200 },
  );
  const acknowledged = new Map<EntityKey, number>();
  const longest = { writeMs: 0, readMs: 0 };
  let [isOver, failedReads, wrongReads] = [false, 0, 0];
  const writing = (async () => {
    for (let round = 1; !isOver; round += 1) {
      const rows = Array.from({ length: 20 }, (_, index) =>
        row(keyOf(`entity-${(round * 20 + index) % 2_000}`), round),
      );
      const beganMs = performance.now();
      await Promise.all([delivery.run(() => store.write(rows)), offline.features.write(rows)]);
      longest.writeMs = Math.max(longest.writeMs, performance.now() - beganMs);
      for (const { entityKey } of rows) acknowledged.set(entityKey, round);
      await sleep(2);
    }
  })();
  const reading = (async () => {
    while (!isOver) {
      const keys = [...acknowledged.keys()].slice(-5);
      const beganMs = performance.now();
      try {
        const found = await store.read(view, keys);
        wrongReads += found.filter((each) => each === undefined).length;
      } catch {
        failedReads += 1;
      }
      longest.readMs = Math.max(longest.readMs, performance.now() - beganMs);
      await sleep(5);
    }
  })();
  return {
    acknowledged,
    longest,
    async end() {
      isOver = true;
      await Promise.all([writing, reading]);
      return { failedReads, wrongReads };
    },
  };
}

test('sentinels: the master is killed under load; no acknowledged row is missing, and reads never fail', async () => {
  const group = await startSentinelGroup(folder);
  stops.push(group.stop);
  const sentinel = {
    ...{ master: 'features', password: SENTINEL_PASSWORD },
    nodes: group.sentinels.map(({ address }) => address),
  };
  const stores = await open({ sentinel });
  const running = load(stores);
  await until(async () => running.acknowledged.size >= 1_000);
  const killedAt = Date.now();
  await group.master.stop();
  await until(async () => (await group.replica.cli('role')).startsWith('master'));
  const promotedMs = Date.now() - killedAt;
  // Written to the new master.
  await stores.store.write([stores.row(keyOf('after the failover'), 1)]).catch(() => {});
  await until(async () => {
    await stores.online.write([stores.row(keyOf('after the failover'), 1)]);
    return true;
  });
  const writableMs = Date.now() - killedAt;
  await until(async () => stores.contents.isComplete && (await stores.contents.check()));
  const filledMs = Date.now() - killedAt;
  const { failedReads, wrongReads } = await running.end();
  const { writeMs, readMs } = running.longest;
  process.stdout.write(
    `promoted after ${promotedMs} ms, writable after ${writableMs} ms, filled after ${filledMs} ms; longest write ${Math.round(writeMs)} ms, longest read ${Math.round(readMs)} ms; ${running.acknowledged.size} entities acknowledged\n`,
  );
  expect({ failedReads, wrongReads }).toEqual({ failedReads: 0, wrongReads: 0 });
  const keys = [...running.acknowledged.keys()];
  const held = await stores.online.read(stores.view, keys);
  // In the new master itself, each acknowledged row or a newer one.
  const missing = keys.filter(
    (key, index) => Number(held[index]?.values.amount ?? 0) < (running.acknowledged.get(key) ?? 0),
  );
  expect(missing).toEqual([]);
  expect(writableMs).toBeLessThan(30_000);
}, 180_000);

test('the address leads to a replica for a while: reads go on, writes wait, and go to the master once it does not', async () => {
  const master = await startRedisServer(folder, 'other');
  const server = await startRedisServer(folder, 'used');
  stops.push(master.stop, server.stop);
  const stores = await open({ port: server.port });
  await until(async () => stores.contents.isComplete);
  await stores.store.write([stores.row(keyOf('a'), 1)]);
  await server.cli('replicaof', '127.0.0.1', String(master.port));
  await expect(stores.store.write([stores.row(keyOf('a'), 2)])).rejects.toThrow(/READONLY/);
  await expect(stores.store.checkHealth?.()).rejects.toThrow(/READONLY/);
  await server.cli('replicaof', 'no', 'one');
  await until(async () => (await stores.store.write([stores.row(keyOf('a'), 3)])).written === 1);
  expect((await stores.store.read(stores.view, [keyOf('a')]))[0]?.values.amount).toBe(3);
}, 60_000);

test('a cluster: a master is killed under load, its replica takes over; no acknowledged row is missing', async () => {
  const nodes: Awaited<ReturnType<typeof startRedisServer>>[] = [];
  for (let node = 0; node < 6; node += 1) {
    const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-port', String(await port())];
    nodes.push(await startRedisServer(folder, `node-${node}`, args));
  }
  stops.push(async () => void (await Promise.all(nodes.map((node) => node.stop()))));
  await joinCluster(nodes);
  const stores = await open({ cluster: nodes.map(({ address }) => address) });
  const running = load(stores);
  await until(async () => running.acknowledged.size >= 1_000);
  const killedAt = Date.now();
  await nodes[0]?.stop();
  await until(async () => (await nodes[3]?.cli('role'))?.startsWith('master') === true);
  await until(async () => stores.contents.isComplete && (await stores.contents.check()));
  process.stdout.write(
    `cluster: filled after ${Date.now() - killedAt} ms; longest write ${Math.round(running.longest.writeMs)} ms, longest read ${Math.round(running.longest.readMs)} ms\n`,
  );
  const { failedReads, wrongReads } = await running.end();
  expect({ failedReads, wrongReads }).toEqual({ failedReads: 0, wrongReads: 0 });
  const keys = [...running.acknowledged.keys()];
  const held = await stores.online.read(stores.view, keys);
  expect(
    keys.filter((key, index) => Number(held[index]?.values.amount ?? 0) < (running.acknowledged.get(key) ?? 0)),
  ).toEqual([]);
}, 180_000);

const port = async (): Promise<number> => (await import('#scripts/services/managed_process')).freePort();

/** Three masters, and a replica of each. */
async function joinCluster(nodes: readonly Awaited<ReturnType<typeof startRedisServer>>[]): Promise<void> {
  const [first] = nodes as [(typeof nodes)[number]];
  for (const [index, node] of nodes.slice(0, 3).entries()) {
    await node.cli(
      'cluster',
      'addslotsrange',
      String(Math.floor((index * 16_384) / 3)),
      String(Math.floor(((index + 1) * 16_384) / 3) - 1),
    );
    await node.cli('cluster', 'set-config-epoch', String(index + 1));
  }
  const busOf = async (node: (typeof nodes)[number]): Promise<string> =>
    (await node.cli('config', 'get', 'cluster-port')).split('\n')[1] as string;
  for (const node of nodes.slice(1))
    await first.cli('cluster', 'meet', '127.0.0.1', String(node.port), await busOf(node));
  await until(async () => {
    const states = await Promise.all(nodes.map((node) => node.cli('cluster', 'info')));
    return states.every((state) => /cluster_known_nodes:6\b/.test(state) && state.includes('cluster_state:ok'));
  });
  for (const [index, node] of nodes.slice(3).entries())
    await node.cli('cluster', 'replicate', (await nodes[index]?.cli('cluster', 'myid')) as string);
  await until(async () => {
    const states = await Promise.all(nodes.slice(3).map((node) => node.cli('info', 'replication')));
    return states.every((state) => state.includes('master_link_status:up'));
  });
}
