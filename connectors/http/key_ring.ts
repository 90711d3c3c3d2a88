import { type BigIntStats, existsSync, readFileSync, statSync } from 'node:fs';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import type { AccessConfig, Limit } from './config.ts';
import { KeysFileError } from './errors.ts';
import { Grants } from './grants.ts';
import { hashKey, parseKeysFile } from './keys_file.ts';

/** What a key stands for. */
export interface KnownKey {
  /** For limits, trails and logs. */
  readonly caller: string;
  readonly grants: Grants;
  readonly quota: Limit | undefined;
  /** As of {@link Date.now}; it is refused from then on. */
  readonly validUntilMs: number;
}

/** Other users of the machine may write there. */
const WRITABLE_BY_OTHERS = 0o022;
const SHOWN_HASH = 12;

/**
 * The keys that a listener knows, by SHA-256: those of its configuration, and those of the keys file, which is looked at again at most every
 * `keysRefreshMs`. A presented key is hashed and looked up, so that the time of a look-up says nothing about a key.
 */
export class KeyRing {
  readonly #configured = new Map<string, KnownKey>();
  readonly #file: string | undefined;
  readonly #refreshMs: number;
  readonly #log: Logger;
  #filed: ReadonlyMap<string, KnownKey> = new Map();
  /** Whether there ever was a key: from then on the listener stays closed, also when the file is emptied or deleted. */
  #hadKeys: boolean;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #stamp = '';

  /** @throws {@link KeysFileError} for a file that is there and cannot be used */
  constructor(
    { apiKeys, keysFile, keysRefreshMs }: Pick<AccessConfig, 'apiKeys' | 'keysFile' | 'keysRefreshMs'>,
    log: Logger,
  ) {
    for (const given of apiKeys) {
      const { key, name, scopes, quota } = typeof given === 'string' ? { key: given } : { ...given };
      const sha256 = hashKey(key);
      this.#configured.set(sha256, {
        caller: `key ${name ?? sha256.slice(0, SHOWN_HASH)}`,
        grants: scopes === undefined ? Grants.everything : new Grants(scopes),
        quota,
        validUntilMs: Number.POSITIVE_INFINITY,
      });
    }
    this.#hadKeys = apiKeys.length > 0;
    this.#file = keysFile;
    this.#refreshMs = keysRefreshMs;
    this.#log = log.child({ component: 'connectors.http' });
    const problem = this.#read(Date.now());
    if (problem !== undefined) throw problem;
  }

  /** Whether there is, or was, any key. */
  get hasKeys(): boolean {
    this.#refresh();
    return this.#hadKeys;
  }

  /** @returns undefined for a key that is not known, revoked or expired */
  find(key: string): KnownKey | undefined {
    this.#refresh();
    const sha256 = hashKey(key);
    const found = this.#configured.get(sha256) ?? this.#filed.get(sha256);
    return found === undefined || found.validUntilMs <= Date.now() ? undefined : found;
  }

  #refresh(): void {
    if (this.#file === undefined) return;
    const nowMs = Date.now();
    if (Math.abs(nowMs - this.#lookedAtMs) < this.#refreshMs) return;
    const problem = this.#read(nowMs);
    // The keys as they were: a file that was edited by hand stops no caller, and lets in none.
    if (problem !== undefined) this.#log.error({ error: problem }, 'keys.not_read');
  }

  #read(nowMs: number): KeysFileError | undefined {
    this.#lookedAtMs = nowMs;
    const file = this.#file;
    if (file === undefined) return undefined;
    let stat: BigIntStats | undefined;
    try {
      stat = statSync(file, { throwIfNoEntry: false, bigint: true });
    } catch (error) {
      return new KeysFileError(file, messageOf(error), error);
    }
    const stamp = stat === undefined ? '' : `${stat.ino} ${stat.mtimeNs} ${stat.size}`;
    if (stamp === this.#stamp) return undefined;
    this.#stamp = stamp;
    if (stat === undefined) {
      // Deleted: its keys are no longer valid.
      this.#filed = new Map();
      this.#log.warn({ file }, 'keys.file_missing');
      return undefined;
    }
    if ((Number(stat.mode) & WRITABLE_BY_OTHERS) !== 0) {
      return new KeysFileError(file, 'other users may write it: chmod go-w');
    }
    try {
      this.#filed = keysOf(file);
      if (this.#filed.size > 0) this.#hadKeys = true;
      return undefined;
    } catch (error) {
      return error instanceof KeysFileError ? error : new KeysFileError(file, messageOf(error), error);
    }
  }
}

/** Revoked keys stay in the file and are known as refused: a file that holds only them closes the listener. */
function keysOf(file: string): ReadonlyMap<string, KnownKey> {
  const keys = new Map<string, KnownKey>();
  for (const { id, name, sha256, scopes, quota, expiresAt, revokedAt, previous } of parseKeysFile(
    file,
    readFileSync(file),
  )) {
    const expiresAtMs = expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiresAt);
    const known = { caller: `key ${name} (${id})`, grants: new Grants(scopes), quota };
    keys.set(sha256, { ...known, validUntilMs: revokedAt === undefined ? expiresAtMs : Number.NEGATIVE_INFINITY });
    for (const old of previous) {
      const validUntilMs =
        revokedAt === undefined ? Math.min(expiresAtMs, Date.parse(old.validUntil)) : Number.NEGATIVE_INFINITY;
      keys.set(old.sha256, { ...known, validUntilMs });
    }
  }
  return keys;
}

/** Whether a listener with these settings knows any caller. */
export const hasCallers = (config: AccessConfig, log: Logger): boolean =>
  config.jwt !== undefined || new KeyRing(config, log).hasKeys;

/** Whether there is a keys file with a key in it. @throws {@link KeysFileError} */
export const holdsKeys = (file: string | undefined): boolean =>
  file !== undefined && existsSync(file) && keysOf(file).size > 0;
