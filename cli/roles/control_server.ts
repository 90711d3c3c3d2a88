import { chmod, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { dirname } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { Broker, ReadFrom, SourcePartition } from '#connectors/connector';
import { failureClassOf } from '#connectors/failure_class';
import type { OnlineStore } from '#feature_store/online/online_store';
import { messageOf, PlatformError } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';
import type { EventArchive } from '#pipelines/archive/event_archive';
import { makeFolder } from '#storage/durable_files';
import { onDisk } from '#storage/errors';
import type { StateHandOver } from '../jobs/state_hand_over.ts';
import {
  type Answer,
  type Call,
  controlSocketOf,
  foldersOf,
  PARTS,
  type PartFolders,
} from '../parts/control_socket.ts';
import { isStore, type OfflineDatabase } from '../parts/offline_database.ts';
import type { PlatformConfig } from '../project/config/platform_config.ts';

interface Parts {
  readonly offline: OfflineDatabase;
  readonly online: OnlineStore;
  readonly broker: Broker;
  /** Of a process with the pipeline. */
  readonly archive?: EventArchive | undefined;
  readonly stream?: StateHandOver | undefined;
}

/** What a command must not do to the parts of a platform that runs. */
const NOT_FOR_COMMANDS = new Set(['constructor', 'start', 'drain', 'stop']);

/** Answers commands of this machine on a Unix socket, so that they need not open folders that this process has. */
export class ControlServer implements Service {
  readonly name = 'control socket';
  readonly #parts: Parts;
  readonly #log: Logger;
  readonly #path: string;
  readonly #folders: PartFolders;
  readonly #readers = new Map<number, SourcePartition>();
  #nextReader = 1;
  #server: Server | undefined;

  constructor(parts: Parts, log: Logger, config: PlatformConfig) {
    this.#parts = parts;
    this.#log = log.child({ component: 'control' });
    this.#path = controlSocketOf(config);
    const folders = foldersOf(config);
    this.#folders = {
      ...folders,
      archive: parts.archive === undefined ? undefined : folders.archive,
      stream: parts.stream === undefined ? undefined : folders.stream,
    };
  }

  async start(): Promise<void> {
    // Nothing of this process is in a folder that others may not open: commands reach the servers themselves.
    if (PARTS.every((part) => this.#folders[part] === undefined)) return;
    const path = this.#path;
    await makeFolder(dirname(path));
    // The folders' locks are held: a socket that is here was left by a process that is gone.
    await onDisk(path, () => unlink(path).catch(ignoreMissing));
    const server = createServer((request, response) => {
      this.#answer(request).then(
        (answer) => response.end(serialize(answer)),
        (error: unknown) => {
          this.#log.error({ error }, 'control.failed');
          response.destroy();
        },
      );
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o600);
    this.#server = server;
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (request.method === 'GET') return { result: { pid: process.pid, folders: this.#folders } };
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    try {
      return { result: await this.#call(deserialize(Buffer.concat(chunks)) as Call) };
    } catch (error) {
      const [code, retryable] = error instanceof PlatformError ? [error.code, error.retryable] : ['CLI_REMOTE', false];
      return { error: { message: messageOf(error), code, retryable, failure: failureClassOf(error) } };
    }
  }

  async #call({ part, method, args }: Call): Promise<unknown> {
    if (part === 'broker') {
      const { broker } = this.#parts;
      if (method === 'send') return broker.producer.send(...(args as Parameters<Broker['producer']['send']>));
      if (method === 'openPartition') return this.#open(...(args as [string, string, ReadFrom]));
      if (method === 'poll') return this.#poll(args[0] as number, args[1] as number, args[2] as number);
      if (method === 'closePartition') return this.#close(args[0] as number);
    }
    // A method of the offline database's stores is named with its store: `features.countRows`.
    const [store, name] = method.includes('.') ? (method.split('.') as [string, string]) : [undefined, method];
    if (store !== undefined && !(part === 'offline' && isStore(store))) throw new TypeError(`${part} has no ${method}`);
    const parts = this.#parts[part] as unknown as Record<string, unknown>;
    const target = store === undefined ? parts : (parts[store] as Record<string, unknown>);
    const called = NOT_FOR_COMMANDS.has(name) ? undefined : target?.[name];
    if (typeof called !== 'function') throw new TypeError(`${part} has no ${method}`);
    return (called as (...given: readonly unknown[]) => unknown).apply(target, [...args]);
  }

  async #open(topic: string, partition: string, from: ReadFrom): Promise<{ reader: number } & ReaderState> {
    const opened = await this.#parts.broker.openPartition(topic, partition, from);
    const reader = this.#nextReader++;
    this.#readers.set(reader, opened);
    return { reader, ...stateOf(opened) };
  }

  async #poll(reader: number, maxRecords: number, maxWaitMs: number): Promise<{ records: unknown } & ReaderState> {
    const opened = this.#readers.get(reader);
    if (opened === undefined) throw new TypeError(`there is no reader ${reader}`);
    const signal = AbortSignal.timeout(maxWaitMs + 1_000);
    const records = await opened.poll({ maxRecords, maxWaitMs, signal });
    return { records, ...stateOf(opened) };
  }

  async #close(reader: number): Promise<void> {
    await this.#readers.get(reader)?.close();
    this.#readers.delete(reader);
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await unlink(this.#path).catch(ignoreMissing);
  }
}

interface ReaderState {
  readonly position: string;
  readonly lagRecords: bigint;
}

const stateOf = (opened: SourcePartition): ReaderState => ({
  position: opened.position(),
  lagRecords: opened.lagRecords(),
});

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
