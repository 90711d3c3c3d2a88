import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { BackupDamagedError } from './errors.ts';

const CIPHER = 'aes-256-gcm';
const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
/** Log records and pages of a database compress well at any level; this one costs least. */
const LEVEL = 1;

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/**
 * Encrypts what is backed up: AES-256-GCM over gzip, bound to the path that it is stored at, so that no object can take another's place. Layout: format (1 byte), nonce
 * (12), ciphertext, tag (16).
 */
export class Sealing {
  readonly #contents: Buffer;
  readonly #names: Buffer;

  /** @param secret - 32 random bytes or more, as text */
  constructor(secret: string) {
    const derive = (use: string): Buffer =>
      Buffer.from(hkdfSync('sha256', secret, '', `headwater backup: ${use}`, KEY_BYTES));
    this.#contents = derive('contents');
    this.#names = derive('names');
  }

  /** Returns the name of bytes: equal for equal bytes, and without the secret it reveals nothing about them. */
  nameOf(bytes: Uint8Array): string {
    return createHmac('sha256', this.#names).update(bytes).digest('hex');
  }

  async seal(path: string, bytes: Uint8Array): Promise<Buffer> {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#contents, nonce).setAAD(Buffer.from(path));
    const sealed = cipher.update(await compress(bytes, { level: LEVEL }));
    return Buffer.concat([Buffer.of(FORMAT), nonce, sealed, cipher.final(), cipher.getAuthTag()]);
  }

  /** @throws {@link BackupDamagedError} when a bit differs, or the bytes were sealed for another path or with another secret */
  async open(path: string, sealed: Buffer): Promise<Buffer> {
    try {
      if (sealed[0] !== FORMAT) throw new RangeError(`format ${sealed[0]} is unknown`);
      const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
      const decipher = createDecipheriv(CIPHER, this.#contents, nonce, { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(path))
        .setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
      const compressed = decipher.update(sealed.subarray(1 + NONCE_BYTES, sealed.length - TAG_BYTES));
      return await decompress(Buffer.concat([compressed, decipher.final()]));
    } catch (error) {
      throw new BackupDamagedError(path, error);
    }
  }
}
