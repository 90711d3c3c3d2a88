import { request } from 'node:http';
import { deserialize, serialize } from 'node:v8';
import type { Broker, LogRecord, SourcePartition } from '#connectors/connector';
import type { FailureClass } from '#connectors/failure_class';
import type { OnlineStore } from '#feature_store/online/online_store';
import { messageOf, PlatformError } from '#kernel/errors';
import type { EventArchive } from '#pipelines/archive/event_archive';
import type { HandedOver } from '#pipelines/jobs/hand_over';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { type Answer, type Call, controlSocketOf, foldersOf, type Part, type PartFolders } from './control_socket.ts';
import { type OfflineDatabase, STORES } from './offline_database.ts';

type RemoteFailure = Omit<Extract<Answer, { readonly error: unknown }>['error'], 'message'>;

/** What the platform that runs has answered to a command. */
export class RunningPlatformError extends PlatformError {
  readonly code: string;
  readonly failure: FailureClass;

  constructor(message: string, { code, retryable, failure }: RemoteFailure) {
    super(message, { fault: 'dependency', retryable });
    this.code = code;
    this.failure = failure;
  }
}

/** A platform on this machine that has the folders of the configuration. */
export class RunningPlatform {
  readonly pid: number;
  readonly #path: string;

  private constructor(path: string, pid: number) {
    this.#path = path;
    this.pid = pid;
  }

  /** @returns undefined where no platform runs that has this part's folder */
  static async find(config: PlatformConfig, part: Part): Promise<RunningPlatform | undefined> {
    const folder = foldersOf(config)[part];
    if (folder === undefined) return undefined;
    const path = controlSocketOf(config);
    try {
      const answer = deserialize(await exchange(path, undefined)) as { result: { pid: number; folders: PartFolders } };
      return answer.result.folders[part] === folder ? new RunningPlatform(path, answer.result.pid) : undefined;
    } catch (error) {
      if (NOT_RUNNING.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
      throw error;
    }
  }

  async #call(part: Part, method: string, args: readonly unknown[]): Promise<unknown> {
    const answer = deserialize(await exchange(this.#path, { part, method, args: args.map(cloneable) })) as Answer;
    if ('result' in answer) return answer.result;
    const { message, ...failure } = answer.error;
    throw new RunningPlatformError(`the platform that runs (process ${this.pid}): ${message}`, failure);
  }

  /** The platform's own store: each method is done there. Starting and stopping it here does nothing. */
  #proxy<T extends object>(part: Part, own: object, prefix = ''): T {
    return new Proxy(own, {
      get: (target, name) => {
        if (name in target) return target[name as keyof typeof target];
        if (typeof name === 'symbol' || name === 'then') return undefined;
        return (...args: readonly unknown[]) => this.#call(part, `${prefix}${name}`, args);
      },
    }) as T;
  }

  /** The archive of that platform. */
  archive(): Pick<EventArchive, 'catchUp' | 'eraseEntity'> {
    return this.#proxy('archive', {});
  }

  /** Hands the state of a back-fill over to the stream of that platform. */
  async takeOver(directory: string): Promise<HandedOver> {
    return (await this.#call('stream', 'takeOver', [directory])) as HandedOver;
  }

  offline(): OfflineDatabase {
    const stores = STORES.map((store) => [store, this.#proxy('offline', {}, `${store}.`)]);
    const own = { kind: 'pglite', name: `offline store of process ${this.pid}`, ...NO_LIFE };
    return this.#proxy('offline', { ...Object.fromEntries(stores), ...own });
  }

  online(): OnlineStore {
    return this.#proxy('online', { kind: 'memory', name: `online store of process ${this.pid}`, ...NO_LIFE });
  }

  broker(): Broker {
    return this.#proxy('broker', {
      ...{ kind: 'disk_log', name: `log of process ${this.pid}`, hasHeaders: true, addsPartitions: false, ...NO_LIFE },
      producer: { send: (...args: readonly unknown[]) => this.#call('broker', 'send', args) },
      openPartition: (...args: readonly unknown[]) => this.#open(args),
    });
  }

  async #open(args: readonly unknown[]): Promise<SourcePartition> {
    type State = { readonly position: string; readonly lagRecords: bigint };
    const opened = (await this.#call('broker', 'openPartition', args)) as State & { readonly reader: number };
    let state: State = opened;
    return {
      poll: async ({ maxRecords, maxWaitMs }) => {
        const polled = await this.#call('broker', 'poll', [opened.reader, maxRecords, maxWaitMs]);
        state = polled as State;
        return (polled as { readonly records: readonly LogRecord[] }).records;
      },
      position: () => state.position,
      lagRecords: () => state.lagRecords,
      close: async () => void (await this.#call('broker', 'closePartition', [opened.reader])),
    };
  }
}

const CATCH_UP_MS = 20_000;

/** Lets a platform of this machine put into files what the topic holds by now; one that cannot in time, or elsewhere, has its newest events to come. */
export async function bringArchiveUpToDate(config: PlatformConfig): Promise<void> {
  const running = await RunningPlatform.find(config, 'archive');
  await running
    ?.archive()
    .catchUp(CATCH_UP_MS)
    .catch((error: unknown) => process.stderr.write(`the archive is behind the stream: ${messageOf(error)}\n`));
}

/** A view as a command has it, alone or in a query, holds functions; what a store needs of it is its name and version. */
function cloneable(value: unknown): unknown {
  try {
    serialize(value);
    return value;
  } catch (error) {
    if (Array.isArray(value)) return value.map(cloneable);
    if (typeof value !== 'object' || value === null) throw error;
    if ('view' in value && typeof value.view === 'string' && 'version' in value) {
      return { view: value.view, version: value.version };
    }
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, cloneable(part)]));
  }
}

const NOT_RUNNING = ['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'];
const nothing = async (): Promise<void> => {};
const NO_LIFE = { start: nothing, drain: nothing, stop: nothing };

function exchange(socketPath: string, call: Call | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: call === undefined ? 'GET' : 'POST', path: '/', agent: false });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(chunks)));
    });
    sent.end(call === undefined ? undefined : serialize(call));
  });
}
