import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createFileSystems } from '#connectors/files/file_systems';
import { AuditKeys, MOST_HASHES } from '#feature_store/audit/anchor';
import { AuditAnchorWriter } from '#feature_store/audit/anchor_writer';
import { AuditAnchors } from '#feature_store/audit/audit_anchors';
import { processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

const pem = (): string => String(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }));
const ownPem = pem();
const keys = new AuditKeys({ path: 'own.pem', pem: ownPem });

let folder: string;
let trail: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'anchors-'));
  trail = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function anchors(using = keys): AuditAnchors {
  const kept = {
    readHashes: async (from: number, limit: number) =>
      trail.slice(from, from + limit).map((hash, index) => ({ id: String(from + index + 1), hash })),
  };
  const deps = {
    trail: kept,
    fileSystems: createFileSystems(),
    clock: { now: () => processingTime(1_800_000_000_000) },
  };
  return new AuditAnchors(deps, { directory: folder, keys: using });
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
const add = (count: number): void => {
  for (let left = count; left > 0; left -= 1) trail.push(hashOf(`${trail.at(-1)}${trail.length}`));
};

test('entries are anchored once, also by writers that begin anew or write at the same time', async () => {
  const [one, other] = [anchors(), anchors()];
  add(3);
  expect([await one.anchor(), await one.anchor(), await other.anchor()]).toEqual([3, 3, 3]);
  add(2);
  expect([await other.anchor(), await one.anchor(), await anchors().anchor()]).toEqual([5, 5, 5]);
  add(1);
  expect(await anchors().verify()).toEqual({ anchored: 5, notAnchored: 1, problems: [] });
  expect(await readdir(folder)).toHaveLength(2);
});

test('a trail longer than one anchor is anchored in several', async () => {
  add(2 * MOST_HASHES + 1);
  expect(await anchors().anchor()).toBe(2 * MOST_HASHES + 1);
  expect(await readdir(folder)).toHaveLength(3);
  trail[MOST_HASHES + 4] = hashOf('forged');
  expect((await anchors().verify()).problems).toEqual([
    expect.stringContaining(`entry ${MOST_HASHES + 5} of the trail`),
  ]);
});

test.each<[string, (text: string) => string, string]>([
  ['another hash', (text) => text.replace(/"hashes":\["./, '"hashes":["0'), 'its signature is wrong'],
  ['another time', (text) => text.replace('2027', '2028'), 'its signature is wrong'],
  ['another place in the trail', (text) => text.replace('"from":0', '"from":1'), 'its signature is wrong'],
  ['a cut', (text) => text.slice(0, -20), 'is damaged, or no anchor'],
  ['nothing', () => '', 'is damaged, or no anchor'],
])('an anchor with %s is named', async (_, change, problem) => {
  add(3);
  trail[0] = hashOf('one that does not begin with 0').replace(/^./, 'a');
  await anchors().anchor();
  const [name] = await readdir(folder);
  const file = join(folder, name as string);
  await writeFile(file, change(await readFile(file, 'utf8')));
  expect((await anchors().verify()).problems).toContainEqual(`${file} ${expectation(problem)}`);
});

const expectation = (problem: string): string => (problem.startsWith('its') ? `was changed: ${problem}` : problem);

test('an anchor of another key is no anchor, unless the key is listed as one of before', async () => {
  add(2);
  await anchors().anchor();
  const next = { path: 'next.pem', pem: pem() };
  expect((await anchors(new AuditKeys(next)).verify()).problems).toEqual([
    expect.stringContaining('is signed with another key'),
    expect.stringContaining('there is no anchor in'),
  ]);
  const both = new AuditKeys(next, [{ path: 'own.pem', pem: ownPem }]);
  add(1);
  expect(await anchors(both).anchor()).toBe(3);
  expect((await anchors(both).verify()).problems).toEqual([]);
});

test('anchors that were removed are missed while entries exist', async () => {
  add(2);
  await anchors().anchor();
  for (const name of await readdir(folder)) await rm(join(folder, name));
  expect((await anchors().verify()).problems).toEqual([`there is no anchor in ${folder}`]);
});

test.each([
  [0, 'entries 1 to 2'],
  [1, 'entries 3 to 5'],
])('the anchor number %i, removed while later ones exist, leaves a gap that is named', async (removed, gap) => {
  for (const count of [2, 3, 1]) {
    add(count);
    await anchors().anchor();
  }
  const names = (await readdir(folder)).sort();
  expect(names).toHaveLength(3);
  await rm(join(folder, names[removed] as string));
  expect((await anchors().verify()).problems).toEqual([`${folder} has no anchor of ${gap}`]);
});

test.each([
  ['no key', 'hello', 'holds no key in PEM'],
  [
    'an RSA key',
    String(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'pem', type: 'pkcs8' })),
    'holds a key of type rsa',
  ],
])('a key file with %s is refused by name', (_, content, problem) => {
  expect(() => new AuditKeys({ path: '/etc/audit.pem', pem: content })).toThrow(`/etc/audit.pem ${problem}`);
});

test('a writer anchors what is added, and raises its metric when the trail was changed', async () => {
  const metrics = createMetricsRegistry({ process: false });
  const writer = new AuditAnchorWriter({ anchors: anchors(), log: silentLogger, metrics }, 3_600_000);
  add(4);
  await writer.start();
  expect(await metrics.metrics()).toMatch(/^audit_trail_anchored_entries 4$/m);
  add(1);
  await writer.drain();
  await writer.stop();
  expect(await anchors().verify()).toMatchObject({ anchored: 5, notAnchored: 0 });
  trail[4] = hashOf('forged');
  const later = createMetricsRegistry({ process: false });
  const again = new AuditAnchorWriter({ anchors: anchors(), log: silentLogger, metrics: later }, 3_600_000);
  await again.start();
  await again.stop();
  expect(await later.metrics()).toMatch(/^audit_trail_changed 1$/m);
});
