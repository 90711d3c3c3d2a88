import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { AuditKeyError } from '../errors.ts';

/** Hashes of entries of the audit trail as they once were, signed: what is kept of it outside the database. */
export interface AuditAnchor {
  /** Entries before the first of these. */
  readonly from: number;
  /** Of consecutive entries, hex. Each covers all entries before it. */
  readonly hashes: readonly string[];
  /** ISO 8601. */
  readonly anchoredAt: string;
}

/** Entries of one anchor at most. */
export const MOST_HASHES = 1_000;

const FORMAT = 'headwater-audit-anchor/1';
const HASH = /^[0-9a-f]{64}$/;

const fileSchema = z.strictObject({
  format: z.literal(FORMAT),
  from: z.int().nonnegative(),
  hashes: z.array(z.string().regex(HASH)).min(1).max(MOST_HASHES),
  anchoredAt: z.iso.datetime(),
  /** Fingerprint of the public key. */
  key: z.string(),
  signature: z.base64(),
});

/** Signs anchors, where it holds a private key, and verifies them. */
export class AuditKeys {
  readonly #signing: KeyObject | undefined;
  readonly #fingerprint: string;
  readonly #public: ReadonlyMap<string, KeyObject>;

  /**
   * @param current - PEM of an Ed25519 key; a public one verifies only
   * @param previous - PEM of keys that have signed before
   * @throws {@link AuditKeyError}
   */
  constructor(current: KeyFile, previous: readonly KeyFile[] = []) {
    this.#signing = current.pem.includes('PRIVATE KEY') ? read(current, createPrivateKey) : undefined;
    const keys = [current, ...previous].map((file) => read(file, createPublicKey));
    this.#public = new Map(keys.map((key) => [fingerprintOf(key), key]));
    this.#fingerprint = fingerprintOf(keys[0] as KeyObject);
  }

  get canSign(): boolean {
    return this.#signing !== undefined;
  }

  /** @throws Error without a private key */
  sign(anchor: AuditAnchor): Buffer {
    if (this.#signing === undefined) throw new Error('a public key does not sign');
    const signed = { format: FORMAT, ...inOrder(anchor), key: this.#fingerprint };
    const signature = sign(null, Buffer.from(JSON.stringify(signed)), this.#signing).toString('base64');
    return Buffer.from(`${JSON.stringify({ ...signed, signature })}\n`);
  }

  /** @returns what is wrong with a file, instead of its anchor */
  open(bytes: Buffer): AuditAnchor | string {
    let file: z.infer<typeof fileSchema>;
    try {
      file = fileSchema.parse(JSON.parse(bytes.toString('utf8')));
    } catch {
      return 'is damaged, or no anchor';
    }
    const key = this.#public.get(file.key);
    if (key === undefined) return `is signed with another key (${file.key})`;
    const signed = { format: FORMAT, ...inOrder(file), key: file.key };
    const isSigned = verify(null, Buffer.from(JSON.stringify(signed)), key, Buffer.from(file.signature, 'base64'));
    return isSigned ? inOrder(file) : 'was changed: its signature is wrong';
  }
}

export interface KeyFile {
  readonly path: string;
  readonly pem: string;
}

/** The same bytes are signed wherever the fields come from. */
const inOrder = ({ from, hashes, anchoredAt }: AuditAnchor): AuditAnchor => ({ from, hashes, anchoredAt });

function read({ path, pem }: KeyFile, create: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = create(pem);
  } catch (error) {
    throw new AuditKeyError(path, 'holds no key in PEM', error);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new AuditKeyError(path, `holds a key of type ${key.asymmetricKeyType}`);
  return key;
}

const fingerprintOf = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);
