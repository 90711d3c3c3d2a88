import { createHmac, timingSafeEqual } from 'node:crypto';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';

/** An entity that was erased, by a keyed hash of its key: the list of erasures holds no key. */
export interface Erasure {
  readonly fingerprint: string;
  /** What was known of the entity by then is erased; what comes later counts. Milliseconds since the epoch. */
  readonly erasedAtMs: number;
}

/** What a store keeps of erasures. */
export interface StoredErasures {
  /** Key of the hash, made once for a database. */
  readonly secret: string;
  readonly erasures: readonly Erasure[];
}

/** Returns the keyed hash (HMAC-SHA-256) of an entity's key. */
export const fingerprintOf = (secret: string, key: EntityKey): string =>
  createHmac('sha256', secret).update(key).digest('hex');

/** The erasures that a process knows. Events, state and rows of before an entity's erasure are not used. */
export class Erasures {
  #secret: string | undefined;
  readonly #erasedAtMs = new Map<string, number>();
  #newestMs = Number.NEGATIVE_INFINITY;

  /** Time of the newest erasure: nothing younger was erased. */
  get newestMs(): number {
    return this.#newestMs;
  }

  /** Adds what a store keeps. */
  load({ secret, erasures }: StoredErasures): void {
    this.#secret = secret;
    for (const erasure of erasures) this.#add(erasure);
  }

  /** @param key - its key must be checked before, with {@link isGenuine} */
  add(key: EntityKey, erasedAtMs: number): void {
    if (this.#secret !== undefined) this.#add({ fingerprint: fingerprintOf(this.#secret, key), erasedAtMs });
  }

  #add({ fingerprint, erasedAtMs }: Erasure): void {
    const before = this.#erasedAtMs.get(fingerprint) ?? Number.NEGATIVE_INFINITY;
    this.#erasedAtMs.set(fingerprint, Math.max(before, erasedAtMs));
    this.#newestMs = Math.max(this.#newestMs, erasedAtMs);
  }

  /** Returns when an entity was erased; undefined when it was not. */
  erasedAtMs(key: EntityKey): number | undefined {
    return this.#secret === undefined ? undefined : this.#erasedAtMs.get(fingerprintOf(this.#secret, key));
  }

  /** Returns whether something that was known of an entity at a time has been erased. */
  isErased(key: EntityKey, knownAtMs: number): boolean {
    // Nearly everything is younger than the newest erasure: no hash is needed.
    if (knownAtMs > this.#newestMs) return false;
    const erasedAtMs = this.erasedAtMs(key);
    return erasedAtMs !== undefined && knownAtMs <= erasedAtMs;
  }

  /** Returns whether a request to erase was made with this database's secret. */
  isGenuine({ key, erasedAtMs, proof }: ErasureRequest): boolean {
    if (this.#secret === undefined) return false;
    const expected = Buffer.from(proofOf(this.#secret, key, erasedAtMs));
    const given = Buffer.from(proof);
    return expected.length === given.length && timingSafeEqual(expected, given);
  }
}

/** The record of the event topic that makes pipelines forget an entity. */
export interface ErasureRequest {
  readonly key: EntityKey;
  readonly erasedAtMs: number;
  /** Shows that a client that can write to the topic could read the database as well. */
  readonly proof: string;
}

const proofOf = (secret: string, key: EntityKey, erasedAtMs: number): string =>
  createHmac('sha256', secret).update(`erase ${erasedAtMs} ${key}`).digest('hex');

const MARK = 'headwater_erasure';

/** Returns the value of the record. */
export function encodeErasureRequest(secret: string, key: EntityKey, erasedAtMs: number): string {
  return JSON.stringify({
    [MARK]: { entity_key: key, erased_at: erasedAtMs, proof: proofOf(secret, key, erasedAtMs) },
  });
}

/** Reads a record's value; undefined for one that is no request to erase. */
export function readErasureRequest(body: unknown): ErasureRequest | undefined {
  const held = (body as Readonly<Record<string, unknown>> | null)?.[MARK];
  if (typeof held !== 'object' || held === null) return undefined;
  const { entity_key: key, erased_at: erasedAtMs, proof } = held as Readonly<Record<string, unknown>>;
  if (typeof key !== 'string' || typeof erasedAtMs !== 'number' || typeof proof !== 'string') return undefined;
  return { key: key as EntityKey, erasedAtMs, proof };
}
