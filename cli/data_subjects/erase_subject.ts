import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSubject, Erasable } from '#feature_store/data_subjects/erasable';
import { encodeErasureRequest, fingerprintOf } from '#feature_store/erasure/erasures';
import { systemClock } from '#kernel/time';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import type { EntityData } from './entity_data.ts';

/** A step that is shown while it runs. */
interface Step {
  finish(outcome?: string): void;
}

export interface ErasureOptions {
  /** How long to wait for the feature pipeline, ms. */
  readonly waitMs: number;
  readonly begin?: (what: string) => Step;
  /** Runs the feature pipeline while `look` waits for it, where no platform runs it; default: one does. */
  readonly whileRead?: (look: () => Promise<boolean>) => Promise<boolean>;
}

export interface Erased {
  /** Rows and records, by place. */
  readonly counts: Readonly<Record<string, number>>;
  /** Whether the feature pipeline has forgotten the entity as well; records in topics and files are erased then. */
  readonly isApplied: boolean;
}

const LOOK_EVERY_MS = 200;

/** Erases an entity in stores, then, once the feature pipeline has forgotten it, in topics and files. */
export async function eraseSubject(
  { topics }: Pick<PlatformConfig, 'topics'>,
  { offline, broker, stores, records }: EntityData,
  subject: DataSubject,
  { waitMs, begin = () => ({ finish: () => {} }), whileRead = (look) => look() }: ErasureOptions,
): Promise<Erased> {
  const { key } = subject;
  const erasedAtMs = systemClock.now();
  const { secret } = await offline.erasures.read(erasedAtMs);
  const erasure = { fingerprint: fingerprintOf(secret, key), erasedAtMs };
  // First: whatever is restored, replayed or filled again from now on is measured against it.
  await offline.erasures.write(erasure);
  const inStores = begin('erase rows in the stores');
  const counts: Record<string, number> = { ...(await counted(stores, (place) => place.erase(subject))) };
  inStores.finish();
  const [id = key] = Object.values(subject.mention.joinKeys);
  const value = encodeErasureRequest(secret, key, erasedAtMs);
  await broker.producer.send(topics.rawEvents, [{ key: id, value }]);
  const pipeline = begin('wait for the feature pipeline to forget it');
  const untilMs = performance.now() + waitMs;
  const isApplied = await whileRead(async () => {
    while (!(await offline.erasures.isApplied(erasure.fingerprint))) {
      if (performance.now() > untilMs) return false;
      await sleep(LOOK_EVERY_MS);
    }
    return true;
  });
  pipeline.finish(isApplied ? undefined : 'it has not read the erasure yet');
  // What was predicted in the meantime.
  for (const place of stores.slice(0, -1))
    counts[place.place] = (counts[place.place] ?? 0) + (await place.erase(subject));
  if (isApplied) {
    const inRecords = begin('erase records in topics and files');
    Object.assign(counts, await counted(records, (place) => place.erase(subject)));
    await offline.compact();
    inRecords.finish();
  }
  return { counts, isApplied };
}

/** Counts rows or records of each place, one place after the other. */
export async function counted(
  places: readonly Erasable[],
  count: (place: Erasable) => Promise<number>,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const place of places) counts[place.place] = await count(place);
  return counts;
}
