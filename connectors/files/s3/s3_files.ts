import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import picomatch from 'picomatch';
import { messageOf } from '#kernel/errors';
import { ConnectionError, UnreadableFileError } from '../../errors.ts';
import type { ComparingFileSystem, OpenFile, TaggedFile } from '../file_system.ts';
import { CHUNK_BYTES, type S3Config } from './s3_config.ts';

const ATTEMPTS = 6;
const FIRST_RETRY_MS = 50;
const CONNECT_MS = 5_000;
const OUT_OF_RANGE = 416;
const NOT_FOUND = 404;
/** Another request changes the object at this moment: try again. */
const CONFLICT = 409;
const CHANGED = 412;

interface S3Location {
  readonly bucket: string;
  readonly key: string;
  readonly versionId?: string;
}

/**
 * Buckets of S3 and of what speaks its protocol. Paths are `s3://bucket/key`, with `?versionId=…` for a version that has been
 * replaced. Objects appear whole by themselves.
 */
export class S3Files implements ComparingFileSystem {
  readonly chunkBytes = CHUNK_BYTES;
  readonly #client: S3Client;
  readonly #where: string;

  constructor({ region, endpoint, credentials, requestTimeoutMs }: S3Config) {
    this.#where = endpoint ?? `S3 in ${region}`;
    this.#client = new S3Client({
      region,
      maxAttempts: ATTEMPTS,
      requestHandler: new NodeHttpHandler({ connectionTimeout: CONNECT_MS, requestTimeout: requestTimeoutMs }),
      // Other servers seldom have a host name for every bucket.
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
      ...(credentials === undefined ? {} : { credentials: { ...credentials } }),
    });
  }

  async glob(pattern: string): Promise<readonly string[]> {
    const { bucket, key } = locationOf(pattern);
    const matches = picomatch(key);
    const { base } = picomatch.scan(key);
    const prefix = key === base ? key : base === '' ? '' : `${base}/`;
    const found: string[] = [];
    let token: string | undefined;
    do {
      const page = await this.#ask(pattern, () =>
        this.#client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token })),
      );
      for (const { Key: name = '' } of page.Contents ?? []) if (matches(name)) found.push(`s3://${bucket}/${name}`);
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return found.sort();
  }

  async open(path: string): Promise<OpenFile> {
    const { bucket, key, versionId } = locationOf(path);
    const object = { Bucket: bucket, Key: key, VersionId: versionId };
    return new S3File({
      path,
      size: () =>
        this.#ask(path, async () => {
          const { ContentLength: size = 0 } = await this.#client.send(new HeadObjectCommand(object));
          return size;
        }),
      read: (position, length) => this.#ask(path, () => this.#read(object, position, length)),
    });
  }

  /** The SDK tries again what was not answered; an answer that breaks off is requested again from where it broke. */
  async #read(object: GetObjectCommandInput, position: number, length: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let received = 0;
    for (let failures = 0; received < length; ) {
      try {
        const range = `bytes=${position + received}-${position + length - 1}`;
        const { Body: body } = await this.#client.send(new GetObjectCommand({ ...object, Range: range }));
        for await (const piece of body as Readable) {
          pieces.push(piece as Buffer);
          received += (piece as Buffer).length;
          failures = 0;
        }
        // The file ends here.
        break;
      } catch (error) {
        if (statusOf(error) === OUT_OF_RANGE) break;
        failures += 1;
        if (error instanceof S3ServiceException || failures === ATTEMPTS) throw error;
        await sleep(FIRST_RETRY_MS * 2 ** failures * (0.5 + Math.random() / 2));
      }
    }
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces, received);
  }

  async write(path: string, bytes: Uint8Array): Promise<string> {
    const { bucket, key } = locationOf(path);
    const { VersionId: version } = await this.#ask(path, () =>
      this.#client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes })),
    );
    return version === undefined || version === 'null' ? path : `${path}?versionId=${encodeURIComponent(version)}`;
  }

  async readTagged(path: string): Promise<TaggedFile | undefined> {
    const { bucket, key } = locationOf(path);
    return this.#ask(path, async () => {
      try {
        const { Body: body, ETag: tag = '' } = await this.#client.send(
          new GetObjectCommand({ Bucket: bucket, Key: key }),
        );
        return { bytes: Buffer.from((await body?.transformToByteArray()) ?? []), tag };
      } catch (error) {
        if (statusOf(error) === NOT_FOUND && (error as Error).name !== 'NoSuchBucket') return undefined;
        throw error;
      }
    });
  }

  async writeIf(path: string, bytes: Uint8Array, tag: string | undefined): Promise<string | undefined> {
    const { bucket, key } = locationOf(path);
    const condition = tag === undefined ? { IfNoneMatch: '*' } : { IfMatch: tag };
    const put = new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, ...condition });
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await this.#client.send(put)).ETag ?? '';
      } catch (error) {
        const status = statusOf(error);
        if (status === CONFLICT && attempt < ATTEMPTS) {
          await sleep(FIRST_RETRY_MS * 2 ** attempt * (0.5 + Math.random() / 2));
          continue;
        }
        // An object that was removed meanwhile has no tag to compare.
        if (status === CHANGED || (status === NOT_FOUND && tag !== undefined)) return this.#ownTag(path, bytes);
        return this.#ask(path, () => Promise.reject(error));
      }
    }
  }

  /** A request whose answer was lost is sent again, and then finds what it has written itself. */
  async #ownTag(path: string, bytes: Uint8Array): Promise<string | undefined> {
    const found = await this.readTagged(path);
    return found?.bytes.equals(bytes) ? found.tag : undefined;
  }

  async remove(path: string): Promise<void> {
    const { bucket, key } = locationOf(path);
    await this.#ask(path, () => this.#client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key })));
  }

  /** What the server refuses is the caller's; that it does not answer is no caller's. */
  async #ask<T>(path: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      const status = statusOf(error);
      if (status === undefined || status >= 500 || status === 429) throw new ConnectionError(this.#where, error);
      throw new UnreadableFileError(path, `${this.#where} answers ${status} ${problemOf(error)}`, error);
    }
  }
}

const statusOf = (error: unknown): number | undefined =>
  error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;

/** Answers without a body, as to HEAD, are named after nothing. */
function problemOf(error: unknown): string {
  const { name } = error as Error;
  return name === messageOf(error) || messageOf(error) === '' ? name : `${name}: ${messageOf(error)}`;
}

/** @throws {@link UnreadableFileError} */
function locationOf(path: string): S3Location {
  const found = /^s3:\/\/([^/]+)\/(.+?)(?:\?versionId=([^?]*))?$/.exec(path);
  if (found === null) throw new UnreadableFileError(path, 'a path in a bucket is s3://bucket/key');
  const [, bucket = '', key = '', versionId] = found;
  return versionId === undefined ? { bucket, key } : { bucket, key, versionId: decodeURIComponent(versionId) };
}

type Reading = Pick<OpenFile, 'path' | 'size' | 'read'>;

class S3File implements OpenFile {
  readonly path: string;
  readonly #reading: Reading;

  constructor(reading: Reading) {
    this.path = reading.path;
    this.#reading = reading;
  }

  size(): Promise<number> {
    return this.#reading.size();
  }

  read(position: number, length: number): Promise<Buffer> {
    return this.#reading.read(position, length);
  }

  /** Piece by piece: a reader may take its time, and a connection that breaks is tried again where it broke. */
  stream(): Readable {
    const { read } = this.#reading;
    async function* pieces(): AsyncGenerator<Buffer> {
      for (let at = 0; ; at += CHUNK_BYTES) {
        const piece = await read(at, CHUNK_BYTES);
        if (piece.length > 0) yield piece;
        if (piece.length < CHUNK_BYTES) return;
      }
    }
    return Readable.from(pieces(), { objectMode: false });
  }

  async close(): Promise<void> {}
}
