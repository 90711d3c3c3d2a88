import { hash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '#kernel/errors';
import { InvalidJsonError, parseExactJsonBytes } from '#kernel/exact/exact_json';
import { limitSchema } from './config.ts';
import { KeysFileError, UnknownKeyError } from './errors.ts';
import { scopeSchema } from './scopes.ts';

// Keys as a file: SHA-256 of each, never the key. Every change writes a new file and renames it, so that a reader sees the old keys or the new.

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);
const timeSchema = z.iso.datetime();

const storedKeySchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{8}$/),
  name: z.string().min(1).max(100),
  sha256: sha256Schema,
  scopes: z.array(scopeSchema).min(1),
  quota: limitSchema.optional(),
  createdAt: timeSchema,
  expiresAt: timeSchema.optional(),
  revokedAt: timeSchema.optional(),
  /** The keys before the last rotations, while they are still valid. */
  previous: z.array(z.strictObject({ sha256: sha256Schema, validUntil: timeSchema })).default([]),
});
export type StoredKey = z.infer<typeof storedKeySchema>;

const keysFileSchema = z.strictObject({ version: z.literal(1), keys: z.array(storedKeySchema) });

/** A key that was just made: the only time that it is seen. */
export interface NewKey {
  readonly key: string;
  readonly stored: StoredKey;
}

export interface KeyRequest extends Pick<StoredKey, 'name' | 'scopes'> {
  readonly quota?: StoredKey['quota'] | undefined;
  readonly expiresAtMs?: number | undefined;
}

const PREFIX = 'hw_';
const KEY_BYTES = 32;
const LOCK_WAIT_MS = 5_000;
const LOCK_POLL_MS = 20;

export const hashKey = (key: string): string => hash('sha256', key, 'hex');

/** @throws {@link KeysFileError} */
export function parseKeysFile(file: string, bytes: Buffer): readonly StoredKey[] {
  let value: unknown;
  try {
    value = parseExactJsonBytes(bytes);
  } catch (error) {
    const problems = error instanceof InvalidJsonError ? error.problems : messageOf(error);
    throw new KeysFileError(file, `it cannot be used (${problems})`, error);
  }
  const parsed = keysFileSchema.safeParse(value);
  if (!parsed.success) throw new KeysFileError(file, z.prettifyError(parsed.error));
  return parsed.data.keys;
}

/** @returns no keys where there is no file; @throws {@link KeysFileError} */
export async function readKeysFile(file: string): Promise<readonly StoredKey[]> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new KeysFileError(file, (error as Error).message, error);
  }
  return parseKeysFile(file, bytes);
}

export async function createKey(
  file: string,
  { name, scopes, quota, expiresAtMs }: KeyRequest,
  nowMs: number,
): Promise<NewKey> {
  const key = makeKey();
  const stored: StoredKey = {
    ...{ id: randomBytes(4).toString('hex'), name, sha256: hashKey(key), scopes: [...scopes] },
    ...(quota === undefined ? {} : { quota }),
    createdAt: new Date(nowMs).toISOString(),
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
    previous: [],
  };
  await changeKeysFile(file, (keys) => {
    const same = keys.find((other) => other.name === name && other.revokedAt === undefined);
    if (same !== undefined)
      throw new UnknownKeyError(
        name,
        `a key with this name exists already (${same.id}): rotate it, or choose another name`,
      );
    return [...keys, stored];
  });
  return { key, stored };
}

/** Replaces a key; the old one is valid for `overlapMs` more. @throws {@link UnknownKeyError} */
export async function rotateKey(file: string, idOrName: string, overlapMs: number, nowMs: number): Promise<NewKey> {
  const key = makeKey();
  let rotated: StoredKey | undefined;
  await changeKeysFile(file, (keys) => {
    const found = findKey(keys, idOrName);
    const stillValid = found.previous.filter(({ validUntil }) => Date.parse(validUntil) > nowMs);
    const old = { sha256: found.sha256, validUntil: new Date(nowMs + overlapMs).toISOString() };
    const made: StoredKey = {
      ...found,
      sha256: hashKey(key),
      previous: overlapMs > 0 ? [...stillValid, old] : stillValid,
    };
    rotated = made;
    return keys.map((each) => (each === found ? made : each));
  });
  return { key, stored: rotated as StoredKey };
}

/** @throws {@link UnknownKeyError} */
export async function revokeKey(file: string, idOrName: string, nowMs: number): Promise<StoredKey> {
  let revoked: StoredKey | undefined;
  await changeKeysFile(file, (keys) => {
    const found = findKey(keys, idOrName);
    const made: StoredKey = { ...found, revokedAt: new Date(nowMs).toISOString(), previous: [] };
    revoked = made;
    return keys.map((each) => (each === found ? made : each));
  });
  return revoked as StoredKey;
}

/** Changes what a key may do and how often; the key itself stays. @throws {@link UnknownKeyError} */
export async function changeKey(
  file: string,
  idOrName: string,
  change: { readonly scopes?: readonly string[] | undefined; readonly quota?: StoredKey['quota'] | null },
): Promise<StoredKey> {
  let changed: StoredKey | undefined;
  await changeKeysFile(file, (keys) => {
    const found = findKey(keys, idOrName);
    const { quota, ...rest } = found;
    const kept = change.quota === undefined ? quota : (change.quota ?? undefined);
    const made: StoredKey = {
      ...rest,
      ...(kept === undefined ? {} : { quota: kept }),
      ...(change.scopes === undefined ? {} : { scopes: [...change.scopes] }),
    };
    changed = made;
    return keys.map((each) => (each === found ? made : each));
  });
  return changed as StoredKey;
}

const makeKey = (): string => `${PREFIX}${randomBytes(KEY_BYTES).toString('base64url')}`;

function findKey(keys: readonly StoredKey[], idOrName: string): StoredKey {
  const matching = keys.filter(({ id, name }) => id === idOrName || name === idOrName);
  const found = matching.find(({ revokedAt }) => revokedAt === undefined);
  if (found !== undefined) return found;
  throw new UnknownKeyError(idOrName, matching.length > 0 ? 'it is revoked' : 'there is no such key');
}

/**
 * Changes the file under a lock that is the new file itself (as Git's index.lock): the rename publishes the change and ends the lock.
 *
 * @throws {@link KeysFileError} when another change does not end
 */
async function changeKeysFile(
  file: string,
  change: (keys: readonly StoredKey[]) => readonly StoredKey[],
): Promise<void> {
  const lock = `${file}.lock`;
  await mkdir(dirname(file), { recursive: true });
  const handle = await openLock(file, lock);
  try {
    const keys = change(await readKeysFile(file));
    await handle.writeFile(`${JSON.stringify({ version: 1, keys }, undefined, 2)}\n`);
    await handle.sync();
    await handle.close();
    await rename(lock, file);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(lock, { force: true });
    throw error;
  }
}

async function openLock(file: string, lock: string) {
  const giveUpAtMs = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      return await open(lock, 'wx', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new KeysFileError(file, (error as Error).message, error);
      if (performance.now() > giveUpAtMs) {
        throw new KeysFileError(file, `another command is changing it; if none is running, delete ${lock}`, error);
      }
      await sleep(LOCK_POLL_MS);
    }
  }
}
