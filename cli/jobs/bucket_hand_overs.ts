import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type ComparingFileSystem, compares, pathIn } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { messageOf, PlatformError } from '#kernel/errors';
import type { HandedOver } from '#pipelines/jobs/hand_over';
import { makeFolder, replaceFile } from '#storage/durable_files';
import { type ArchiveSettings, archiveDirectoryOf } from '../parts/archive_folder.ts';

/** Names what is to be taken over. It is written last: the files beside it are complete. */
export const ORDER_FILE = 'hand-over.json';
const TAKEN_FILE = 'taken.json';
const RESULT_FILE = 'result.json';
/** A back-fill waits for the result. */
const WAITING_FILE = 'waiting.json';
const NO_STATE: readonly string[] = [TAKEN_FILE, RESULT_FILE, WAITING_FILE];

/** A pipeline that runs has seen an order after so long. */
const SEEN_WITHIN_MS = 30_000;
const POLL_MS = 1_000;

const resultSchema = z.strictObject({
  handedOver: z
    .strictObject({
      entities: z.int(),
      position: z.record(z.string(), z.strictObject({ generation: z.int(), offset: z.string() })),
    })
    .optional(),
  error: z.strictObject({ code: z.string(), message: z.string() }).optional(),
});

/** What a pipeline elsewhere has made of an order. */
export type HandOverResult = z.infer<typeof resultSchema>;

/** A pipeline on another machine could not take over the state of a back-fill. */
export class RemoteHandOverError extends PlatformError {
  readonly code = 'CLI_REMOTE_HAND_OVER';

  constructor({ code, message }: NonNullable<HandOverResult['error']>) {
    super(
      `the pipeline could not take the state over (${code}): ${message}. The state lies in the bucket: the pipeline tries again when it starts`,
      { fault: 'dependency', retryable: true },
    );
  }
}

/**
 * The state of back-fills in the bucket of the archive, for a pipeline on another machine: the back-fill puts its files and an order there, the pipeline takes them and leaves
 * its result.
 */
export class BucketHandOvers {
  readonly #files: ComparingFileSystem;
  readonly #root: string;
  /** Orders that have failed: the next process tries them again. */
  readonly #failed = new Set<string>();

  private constructor(files: ComparingFileSystem, root: string) {
    this.#files = files;
    this.#root = root;
  }

  /** @returns undefined where the archive lies in a folder */
  static of(config: ArchiveSettings): BucketHandOvers | undefined {
    const archive = archiveDirectoryOf(config);
    if (!config.archive.enabled || !archive.startsWith('s3://')) return undefined;
    const root = `${archive.replace(/\/+$/, '')}-hand-overs`;
    const files = createFileSystems()(root);
    return compares(files) ? new BucketHandOvers(files, root) : undefined;
  }

  /**
   * Offers the state in a folder, and waits for the pipeline's result.
   *
   * @param directory - with its order; an offer of before under its name is replaced
   * @returns undefined when no pipeline has seen it: the next one that starts takes it
   */
  async offer(directory: string): Promise<HandOverResult | undefined> {
    const place = pathIn(this.#root, basename(directory));
    // The order first: without it nothing is taken.
    await this.#files.remove(pathIn(place, ORDER_FILE));
    for (const file of await this.#files.glob(pathIn(place, '*'))) await this.#files.remove(file);
    const names = (await readdir(directory)).filter((name) => !name.endsWith('.lock') && name !== ORDER_FILE);
    await this.#files.write(pathIn(place, WAITING_FILE), Buffer.from('{}'));
    for (const name of [...names, ORDER_FILE]) {
      await this.#files.write(pathIn(place, name), await readFile(join(directory, name)));
    }
    try {
      return await this.#resultOf(place);
    } finally {
      await this.#files.remove(pathIn(place, WAITING_FILE));
    }
  }

  async #resultOf(place: string): Promise<HandOverResult | undefined> {
    const offeredMs = Date.now();
    for (let isTaken = false; ; await sleep(POLL_MS)) {
      const result = await this.#files.readTagged(pathIn(place, RESULT_FILE));
      if (result !== undefined) {
        await this.#files.remove(pathIn(place, RESULT_FILE));
        return resultSchema.parse(JSON.parse(result.bytes.toString()));
      }
      isTaken ||= (await this.#files.readTagged(pathIn(place, TAKEN_FILE))) !== undefined;
      if (!isTaken && Date.now() - offeredMs > SEEN_WITHIN_MS) return undefined;
    }
  }

  /**
   * Takes what is offered, one after the other. What fails stays, for the process that starts next.
   *
   * @param folder - files are brought into folders of their own there
   */
  async takeAll(folder: string, takeOver: (directory: string) => Promise<HandedOver>): Promise<void> {
    for (const order of await this.#files.glob(pathIn(this.#root, `*/${ORDER_FILE}`))) {
      const place = order.slice(0, -ORDER_FILE.length - 1);
      const tag = (await this.#files.readTagged(order))?.tag;
      if (tag === undefined || this.#failed.has(tag)) continue;
      const result = await this.#take(place, join(folder, basename(place)), takeOver);
      const isWaitedFor = (await this.#files.readTagged(pathIn(place, WAITING_FILE))) !== undefined;
      if (result.error === undefined) {
        await this.#files.remove(order);
        for (const file of await this.#files.glob(pathIn(place, '*'))) await this.#files.remove(file);
      } else this.#failed.add(tag);
      if (isWaitedFor) await this.#files.write(pathIn(place, RESULT_FILE), Buffer.from(JSON.stringify(result)));
    }
  }

  async #take(
    place: string,
    directory: string,
    takeOver: (directory: string) => Promise<HandedOver>,
  ): Promise<HandOverResult> {
    try {
      await this.#files.write(pathIn(place, TAKEN_FILE), Buffer.from('{}'));
      await rm(directory, { recursive: true, force: true });
      await makeFolder(directory);
      for (const file of await this.#files.glob(pathIn(place, '*'))) {
        const name = basename(file);
        if (NO_STATE.includes(name)) continue;
        const found = await this.#files.readTagged(file);
        if (found !== undefined) await replaceFile(join(directory, name), found.bytes);
      }
      const { entities, position } = await takeOver(directory);
      return { handedOver: { entities, position: { ...position } } };
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      const { code = 'UNKNOWN' } = error as { readonly code?: string };
      return { error: { code, message: messageOf(error) } };
    }
  }
}
