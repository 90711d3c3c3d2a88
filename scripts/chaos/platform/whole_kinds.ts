import { setTimeout as sleep } from 'node:timers/promises';
import type { Role } from '#cli/terminal/choices';
import type { Round } from './component_rounds.ts';
import { BIT_FLIP, GARBAGE, TRUNCATION, ZEROED_SECTOR } from './damage.ts';
import {
  type EmbeddedImage,
  embeddedDamaged,
  embeddedFullDisk,
  embeddedKilled,
  embeddedOwners,
} from './embedded_rounds.ts';
import type { Kind } from './kinds.ts';
import type { ServerName, ServicesPlatform, SharedServices } from './services_rounds.ts';

// Kinds of faults of the whole platform, in one process and with real servers.

const POISON: readonly string[] = [
  '',
  'no JSON',
  '\u0000\u0001\u0002',
  '{"event_type":"transaction"}',
  '{"event_type":"transaction","event_id":"\\u0000","timestamp":"2026-11-28T12:00:00Z"}',
  `{"event_type":"transaction","event_id":"p","account_id":{"$nested":[1]},"timestamp":"x"}`,
  `${'['.repeat(2_000)}${']'.repeat(2_000)}`,
];
const OVERSIZED_CHARACTERS = 900_000;

export function embeddedKinds(image: (round: Round) => EmbeddedImage, withDisks: boolean): readonly Kind[] {
  const kind = (name: string, weight: number, run: Kind['run']): Kind => ({
    ...{ name: `${name}: embedded platform`, weight, run },
  });
  return [
    kind('kill', 14, (round) => embeddedKilled(image(round), round)),
    kind('two owners', 5, (round) => embeddedOwners(image(round), round)),
    ...[BIT_FLIP, TRUNCATION, ZEROED_SECTOR, GARBAGE].map((damage) =>
      kind(damage.name, 5, (round) => embeddedDamaged(image(round), damage, round)),
    ),
    ...(withDisks ? [kind('full disk', 6, (round) => embeddedFullDisk(image(round), round))] : []),
  ];
}

export function servicesKinds(services: SharedServices): readonly Kind[] {
  const kind = (
    name: string,
    weight: number,
    happen: (platform: ServicesPlatform, round: Round) => Promise<string>,
  ): Kind => ({
    name: `${name}, real servers`,
    weight,
    run: (round) => services.round((platform) => happen(platform, round), round),
  });
  const killed = (role: Role, weight: number): Kind =>
    kind(`kill: ${role}`, weight, async (platform, { random }) => {
      const downMs = random.between(0, 800);
      await platform.role(role).restart(downMs);
      return `${role} killed, and away for ${downMs} ms`;
    });
  const roleSlow = (role: Role, weight: number): Kind =>
    kind(`pause: ${role}`, weight, async (platform, { random }) => {
      for (let turn = 0, turns = random.pick([1, 10]); turn < turns; turn += 1) {
        await platform.role(role).pause(turns === 1 ? random.between(500, 2_000) : random.between(10, 60));
        await sleep(10);
      }
      return `${role} paused`;
    });
  const outage = (server: ServerName, weight: number): Kind =>
    kind(`outage: ${server}`, weight, async (platform, { random }) => {
      const downMs = random.between(0, 3_000);
      await platform.server(server).restart(downMs);
      return `${server} killed, and away for ${downMs} ms`;
    });
  const serverSlow = (server: ServerName, weight: number): Kind =>
    kind(`pause: ${server}`, weight, async (platform, { random }) => {
      const downMs = random.between(300, 4_000);
      await platform.server(server).pause(downMs);
      return `${server} paused for ${downMs} ms`;
    });
  return [
    ...[
      killed('gateway', 9),
      killed('pipeline', 12),
      killed('features', 2),
      killed('serving', 2),
      killed('monitor', 2),
    ],
    ...[roleSlow('gateway', 4), roleSlow('pipeline', 5)],
    ...[outage('kafka', 6), outage('redis', 7), outage('postgres', 7)],
    ...[serverSlow('kafka', 4), serverSlow('redis', 4), serverSlow('postgres', 4)],
    kind('redis is emptied', 5, async (platform) => {
      await platform.flushRedis();
      return 'FLUSHALL';
    }),
    kind('poisoned records', 5, async (platform, { random }) => {
      await platform.poison(Array.from({ length: random.between(1, 20) }, () => random.pick(POISON)));
      return 'poison among the raw events';
    }),
    kind('oversized records', 4, async (platform, { random }) => {
      const size = random.between(OVERSIZED_CHARACTERS / 2, OVERSIZED_CHARACTERS);
      await platform.poison([`{"event_type":"transaction","padding":"${'x'.repeat(size)}"}`]);
      return `a record of ${size} characters among the raw events`;
    }),
  ];
}
