import { createHash } from 'node:crypto';
import { ConfigError } from '#configs/errors';
import { type FileSystem, pathIn, readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { BackupDamagedError, BackupMissingError } from './errors.ts';
import { type Manifest, manifestSchema } from './manifest.ts';
import { Sealing } from './sealing.ts';

/** Large enough for few requests to a bucket, small enough that a log's last object is cheap to write again. */
const OBJECT_BYTES = 8 * 1_024 * 1_024;

/** Bytes in the store: their objects in order, their length, and the SHA-256 of them all in hexadecimal. */
export interface StoredBytes {
  readonly objects: readonly string[];
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Encrypted files of backups in a folder or bucket: `backups/ID` (a manifest), `objects/…` (contents by their name, kept once), `wal/…`, `topics/…`. What is written is
 * read back and compared before a method resolves.
 */
export class BackupStore {
  readonly #files: FileSystem;
  readonly #directory: string;
  readonly #sealing: Sealing;
  #known: Set<string> | undefined;
  /** Bytes of objects that were new. */
  writtenBytes = 0;

  constructor(files: FileSystem, directory: string, sealing: Sealing) {
    this.#files = files;
    this.#directory = directory;
    this.#sealing = sealing;
  }

  /** @throws {@link BackupDamagedError} when the place does not return what was written */
  async put(path: string, bytes: Uint8Array): Promise<void> {
    const sealed = await this.#sealing.seal(path, bytes);
    await this.#files.write(this.#at(path), sealed);
    this.writtenBytes += sealed.length;
    if (!(await this.get(path)).equals(bytes)) throw new BackupDamagedError(path);
  }

  /** @throws {@link BackupDamagedError}, {@link UnreadableFileError} when there is none */
  async get(path: string): Promise<Buffer> {
    return this.#sealing.open(path, await readWhole(this.#files, this.#at(path)));
  }

  /** Returns names below a folder of the store, in order. */
  async list(folder: string): Promise<readonly string[]> {
    const prefix = this.#at(folder);
    const found = await this.#files.glob(`${prefix}/**`);
    return found.map((path) => path.slice(path.lastIndexOf(`${folder}/`) + folder.length + 1)).sort();
  }

  remove(path: string): Promise<void> {
    return this.#files.remove(this.#at(path));
  }

  #at(path: string): string {
    return pathIn(this.#directory, path);
  }

  /** Stores a stream of bytes; objects that are stored already are not written again. */
  async add(stream: AsyncIterable<Uint8Array>): Promise<StoredBytes> {
    const hash = createHash('sha256');
    const objects: string[] = [];
    let bytes = 0;
    let pieces: Uint8Array[] = [];
    let held = 0;
    for await (const piece of stream) {
      hash.update(piece);
      bytes += piece.length;
      // A piece may be longer than an object, and objects must begin at the same places however a stream is cut.
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + OBJECT_BYTES - held);
        pieces.push(part);
        held += part.length;
        at += part.length;
        if (held < OBJECT_BYTES) continue;
        objects.push(await this.#addObject(Buffer.concat(pieces)));
        pieces = [];
        held = 0;
      }
    }
    if (held > 0) objects.push(await this.#addObject(Buffer.concat(pieces)));
    return { objects, bytes, sha256: hash.digest('hex') };
  }

  async #addObject(bytes: Buffer): Promise<string> {
    this.#known ??= new Set((await this.list('objects')).map((path) => path.slice(path.indexOf('/') + 1)));
    const name = this.#sealing.nameOf(bytes);
    if (!this.#known.has(name)) {
      await this.put(objectPath(name), bytes);
      this.#known.add(name);
    }
    return name;
  }

  /** Reads stored bytes object by object. @throws {@link BackupDamagedError} at the end, when they are not those that were stored */
  async *read({ objects, bytes, sha256 }: StoredBytes): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    let read = 0;
    for (const name of objects) {
      const object = await this.get(objectPath(name));
      hash.update(object);
      read += object.length;
      yield object;
    }
    if (read !== bytes || hash.digest('hex') !== sha256) throw new BackupDamagedError(`contents ${sha256}`);
  }

  /** @throws {@link BackupDamagedError} */
  async readWhole(stored: StoredBytes): Promise<Buffer> {
    const objects: Buffer[] = [];
    for await (const object of this.read(stored)) objects.push(object);
    return Buffer.concat(objects);
  }

  async writeManifest(manifest: Manifest): Promise<void> {
    await this.put(`backups/${manifest.id}`, Buffer.from(JSON.stringify(manifest)));
  }

  /** Returns ids, the oldest first. */
  ids(): Promise<readonly string[]> {
    return this.list('backups');
  }

  /** @param id - the newest without. @throws {@link BackupMissingError}, {@link BackupDamagedError} */
  async manifest(id?: string): Promise<Manifest> {
    const ids = await this.ids();
    const wanted = id ?? ids.at(-1);
    if (wanted === undefined)
      throw new BackupMissingError(`${this.#directory} holds no backup: headwater backup create`);
    if (!ids.includes(wanted)) {
      throw new BackupMissingError(
        `${this.#directory} holds no backup ${wanted}: headwater backup list prints those there are`,
      );
    }
    return this.#manifest(wanted);
  }

  /** Returns all manifests, the oldest first. @throws {@link BackupDamagedError} */
  async manifests(): Promise<readonly Manifest[]> {
    const manifests: Manifest[] = [];
    for (const id of await this.ids()) manifests.push(await this.#manifest(id));
    return manifests;
  }

  async #manifest(id: string): Promise<Manifest> {
    const path = `backups/${id}`;
    const parsed = manifestSchema.safeParse(JSON.parse((await this.get(path)).toString('utf8')));
    if (!parsed.success) throw new BackupDamagedError(path, parsed.error);
    return parsed.data;
  }

  /**
   * Removes objects that no manifest names.
   *
   * @returns how many
   */
  async removeUnused(manifests: readonly Manifest[]): Promise<number> {
    const used = new Set(
      manifests.flatMap(({ parts, postgres }) => [
        ...parts.flatMap(({ files }) => files.flatMap(({ objects }) => objects)),
        ...(postgres?.base.objects ?? []),
      ]),
    );
    const unused = (await this.list('objects')).filter((path) => !used.has(path.slice(path.indexOf('/') + 1)));
    for (const path of unused) await this.remove(`objects/${path}`);
    this.#known = undefined;
    return unused.length;
  }
}

const objectPath = (name: string): string => `objects/${name.slice(0, 2)}/${name}`;

/** Returns the store of a configuration. @throws {@link ConfigError} when it names no place or no secret */
export function openBackupStore({ backup }: Pick<PlatformConfig, 'backup'>): BackupStore {
  const { directory, secret } = backup;
  if (directory === undefined || secret === undefined) {
    throw new ConfigError(
      'backups need backup.directory (BACKUP_DIRECTORY: a folder or s3://bucket/prefix) and backup.secret (BACKUP_SECRET: such as of openssl rand -base64 32; keep it elsewhere too, without it no backup can be read)',
    );
  }
  return new BackupStore(createFileSystems()(directory), directory, new Sealing(secret));
}
