import type * as grpc from '@grpc/grpc-js';
import { LRUCache } from 'lru-cache';
import { messageOf } from '#kernel/errors';
import type { Cells } from '#pipelines/engine/operators/keyed_state';
import { buildGraph, type Construct } from '#pipelines/model/graph';
import * as fnApi from '#pipelines/proto/beam_fn_api';
import * as fnClients from '#pipelines/proto/beam_fn_api.grpc-client';
import { BundleProcessor } from './bundle_processor.ts';
import { DataStream } from './data_stream.ts';
import { connect, workerMetadata } from './grpc_connections.ts';
import type { Monitored } from './monitored.ts';
import { RemoteLog } from './remote/remote_log.ts';
import { StateStream } from './state_stream.ts';
import { endpointsOf, WorkerStatus } from './worker_status.ts';

type Request = fnApi.InstructionRequest;
type Response = fnApi.InstructionResponse;
type Descriptor = fnApi.ProcessBundleDescriptor;
type MonitoringInfo = fnApi.ProcessBundleResponse['monitoringInfos'][number];

export interface WorkerOptions {
  readonly id: string;
  readonly controlUrl: string;
  readonly loggingUrl?: string;
  /** Where the runner gives further settings of a worker. */
  readonly provisionUrl?: string;
  readonly construct: Construct;
  /** Told what failed a bundle. */
  readonly onError?: (error: unknown) => void;
  /** Keys whose state is kept decoded between bundles, at most. */
  readonly cachedKeys?: number;
}

interface RunningBundle {
  readonly processor: BundleProcessor;
}

const DEFAULT_CACHED_KEYS = 50_000;

/**
 * A Beam SDK worker: takes instructions from a runner's control stream and executes bundles, as many at once as the runner
 * sends. Every bundle in flight has its own graph, so DoFns are not shared between them.
 *
 * Protocol: Apache Beam, beam_fn_api.proto.
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #client: InstanceType<typeof fnClients.BeamFnControlClient>;
  readonly #control: grpc.ClientDuplexStream<Response, Request>;
  readonly #log: RemoteLog | undefined;
  readonly #descriptors = new Map<string, Promise<Descriptor>>();
  readonly #idle = new Map<string, BundleProcessor[]>();
  readonly #running = new Map<string, RunningBundle>();
  readonly #data = new Map<string, DataStream>();
  readonly #state = new Map<string, StateStream>();
  readonly #stateCache: LRUCache<string, Cells>;
  readonly #callbacks = new Map<string, readonly (() => void | Promise<void>)[]>();
  #status: WorkerStatus | undefined;
  #isStopped = false;
  readonly #shortIds = new Map<string, string>();
  readonly #infos = new Map<string, MonitoringInfo>();
  /** Resolves when the runner has ended the control stream. */
  readonly finished: Promise<void>;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#stateCache = new LRUCache({ max: options.cachedKeys ?? DEFAULT_CACHED_KEYS });
    this.#log = options.loggingUrl ? new RemoteLog(options.loggingUrl, options.id) : undefined;
    this.#client = connect(fnClients.BeamFnControlClient, options.controlUrl);
    this.#control = this.#client.control(workerMetadata(options.id));
    this.finished = new Promise((resolve) => {
      this.#control.on('end', resolve);
      this.#control.on('error', () => resolve());
    });
    this.#control.on('data', (request: Request) => void this.#handle(request));
    void this.finished.then(() => this.stop());
    if (options.provisionUrl) void this.#openStatus(options.provisionUrl);
  }

  async #openStatus(provisionUrl: string): Promise<void> {
    const { status: url } = await endpointsOf(provisionUrl, this.#options.id);
    if (url === undefined || this.#isStopped) return;
    this.#status = new WorkerStatus(url, this.#options.id, () => ({
      workerId: this.#options.id,
      runningBundles: [...this.#running.keys()],
      idleProcessors: Object.fromEntries([...this.#idle].map(([id, processors]) => [id, processors.length])),
      cachedKeys: this.#stateCache.size,
    }));
  }

  async #handle({ instructionId, request }: Request): Promise<void> {
    let response: Response['response'] = { oneofKind: undefined };
    let error = '';
    try {
      response = await this.#respond(instructionId, request);
    } catch (cause) {
      error = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
      if (cause instanceof Error && cause.cause instanceof Error) error += `\ncaused by ${cause.cause.stack}`;
      this.#options.onError?.(cause);
      this.#log?.error(messageOf(cause), instructionId, error);
    }
    this.#control.write({ instructionId, error, response });
  }

  async #respond(instructionId: string, request: Request['request']): Promise<Response['response']> {
    switch (request.oneofKind) {
      case 'processBundle':
        return { oneofKind: 'processBundle', processBundle: await this.#process(instructionId, request.processBundle) };
      case 'processBundleProgress': {
        const running = this.#running.get(request.processBundleProgress.instructionId);
        const { monitoringInfos, monitoringData } = this.#report(running?.processor.monitored() ?? []);
        return { oneofKind: 'processBundleProgress', processBundleProgress: { monitoringInfos, monitoringData } };
      }
      case 'processBundleSplit': {
        // Work that is under way comes back with the bundle's own answer: nothing is handed out twice.
        this.#running.get(request.processBundleSplit.instructionId)?.processor.requestCheckpoint();
        return {
          oneofKind: 'processBundleSplit',
          processBundleSplit: { primaryRoots: [], residualRoots: [], channelSplits: [] },
        };
      }
      case 'finalizeBundle': {
        const { instructionId: bundle } = request.finalizeBundle;
        const callbacks = this.#callbacks.get(bundle) ?? [];
        this.#callbacks.delete(bundle);
        for (const callback of callbacks) await callback();
        return { oneofKind: 'finalizeBundle', finalizeBundle: {} };
      }
      case 'monitoringInfos': {
        const ids = request.monitoringInfos.monitoringInfoId;
        const monitoringInfo = Object.fromEntries(
          ids.flatMap((id) => {
            const info = this.#infos.get(id);
            return info === undefined ? [] : [[id, info]];
          }),
        );
        return { oneofKind: 'monitoringInfos', monitoringInfos: { monitoringInfo } };
      }
      case 'harnessMonitoringInfos':
        return { oneofKind: 'harnessMonitoringInfos', harnessMonitoringInfos: { monitoringData: {} } };
      case 'register':
        for (const descriptor of request.register.processBundleDescriptor) {
          this.#descriptors.set(descriptor.id, Promise.resolve(descriptor));
        }
        return { oneofKind: 'register', register: {} };
      default:
        throw new Error(`instruction ${String(request.oneofKind)} is not known to this worker`);
    }
  }

  async #process(instructionId: string, request: fnApi.ProcessBundleRequest): Promise<fnApi.ProcessBundleResponse> {
    const { processBundleDescriptorId: descriptorId } = request;
    const processor = this.#idle.get(descriptorId)?.pop() ?? (await this.#createProcessor(descriptorId));
    this.#running.set(instructionId, { processor });
    try {
      const { residuals, callbacks, monitored } = await processor.process(instructionId, request, this.#stateCache);
      const report = this.#report(monitored);
      processor.resetCounts();
      this.#idle.set(descriptorId, [...(this.#idle.get(descriptorId) ?? []), processor]);
      if (callbacks.length > 0) this.#callbacks.set(instructionId, callbacks);
      return fnApi.ProcessBundleResponse.create({
        residualRoots: [...residuals],
        requiresFinalization: callbacks.length > 0,
        ...report,
      });
    } catch (error) {
      // What a failed bundle left in it is unknown: it is not used again.
      await processor.teardown().catch(() => {});
      throw error;
    } finally {
      this.#running.delete(instructionId);
    }
  }

  async #createProcessor(descriptorId: string): Promise<BundleProcessor> {
    let descriptor = this.#descriptors.get(descriptorId);
    if (descriptor === undefined) {
      descriptor = this.#fetchDescriptor(descriptorId);
      this.#descriptors.set(descriptorId, descriptor);
    }
    return new BundleProcessor(await descriptor, buildGraph(this.#options.construct), {
      data: (url) => ensure(this.#data, url, () => new DataStream(url, this.#options.id)),
      state: (url) => ensure(this.#state, url, () => new StateStream(url, this.#options.id)),
    });
  }

  #fetchDescriptor(processBundleDescriptorId: string): Promise<Descriptor> {
    return new Promise((resolve, reject) => {
      this.#client.getProcessBundleDescriptor(
        { processBundleDescriptorId },
        workerMetadata(this.#options.id),
        (error, value) => {
          if (error !== null) reject(error);
          else resolve(value as Descriptor);
        },
      );
    });
  }

  /** Some runners read whole infos, some read payloads under short ids that they ask about once: they get both. */
  #report(monitored: readonly Monitored[]): Pick<fnApi.ProcessBundleResponse, 'monitoringInfos' | 'monitoringData'> {
    const monitoringInfos: MonitoringInfo[] = [];
    const monitoringData: Record<string, Uint8Array> = {};
    for (const { urn, type, labels, payload } of monitored) {
      const identity = JSON.stringify([urn, labels]);
      let shortId = this.#shortIds.get(identity);
      if (shortId === undefined) {
        shortId = this.#shortIds.size.toString(36);
        this.#shortIds.set(identity, shortId);
        this.#infos.set(shortId, { urn, type, labels: { ...labels }, payload: new Uint8Array(0) });
      }
      monitoringInfos.push({ urn, type, labels: { ...labels }, payload });
      monitoringData[shortId] = payload;
    }
    return { monitoringInfos, monitoringData };
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#status?.close();
    this.#control.on('error', () => {});
    this.#control.end();
    for (const stream of this.#data.values()) stream.close();
    for (const stream of this.#state.values()) stream.close();
    this.#log?.close();
    const processors = [...this.#idle.values()].flat();
    this.#idle.clear();
    for (const processor of processors) await processor.teardown().catch(() => {});
    this.#client.close();
  }
}

function ensure<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
