import { type EventTime, MAX_EVENT_TIME } from '#kernel/time';
import { declarationsOf } from '#pipelines/engine/declarations';
import type { CombineFn } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import { Counter, Distribution, type Metric, metricsOf } from '#pipelines/engine/metrics';
import { Edge, type EngineContext, type Operator } from '#pipelines/engine/operators/operator';
import { ParDoOperator, type RemoteKeeper, WINDOW_EXPIRY } from '#pipelines/engine/operators/par_do';
import {
  AssignTimestampsOperator,
  FlattenOperator,
  WindowIntoOperator,
} from '#pipelines/engine/operators/simple_operators';
import type { SplittableDoFn } from '#pipelines/engine/splitting/splittable';
import { type JobState, jobStatesOf } from '#pipelines/engine/state/job_state';
import type { Window } from '#pipelines/engine/windowing/window';
import type { BeamPipeline, PTransformProto } from '#pipelines/model/beam_pipeline';
import { ByteReader } from '#pipelines/model/coders/bytes';
import type { AnyCoder } from '#pipelines/model/coders/coder';
import { createCoder } from '#pipelines/model/coders/from_proto';
import { type KvCoder, type TimerCoder, WindowedValueCoder } from '#pipelines/model/coders/standard_coders';
import { findFunction } from '#pipelines/model/function_table';
import { functionName } from '#pipelines/model/graph';
import { mainInputOf } from '#pipelines/model/plan';
import { EXPIRY_FAMILY, type RegisteredDoFn, type RegisteredTimestamps } from '#pipelines/model/transforms';
import * as urns from '#pipelines/model/urns';
import { windowFnOf, windowingOf } from '#pipelines/model/windows/windowing';
import * as fnApi from '#pipelines/proto/beam_fn_api';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { CombineStage, type CombineStep } from './combine_stages.ts';
import { DataSink } from './data_sink.ts';
import type { DataStream } from './data_stream.ts';
import { MergeWindows } from './merge_windows.ts';
import { type Monitored, sampleOf, varints } from './monitored.ts';
import { RemoteSideInputs, type RemoteView } from './remote/remote_side_inputs.ts';
import { encoded, RemoteState, type StateCache } from './remote/remote_state.ts';
import { RemoteTimers } from './remote/remote_timers.ts';
import {
  PairWithRestriction,
  ProcessSizedElement,
  type Residual,
  SplitAndSize,
  TruncateRestriction,
} from './splittable_stages.ts';
import type { StateStream } from './state_stream.ts';

type Descriptor = fnApi.ProcessBundleDescriptor;
type Elements = fnApi.Elements;
type DelayedApplication = fnApi.DelayedBundleApplication;
type AnySplittable = SplittableDoFn<unknown, unknown, unknown, unknown>;

export interface HarnessStreams {
  readonly data: (url: string) => DataStream;
  readonly state: (url: string) => StateStream;
}

interface Source {
  readonly transformId: string;
  readonly dataUrl: string;
  readonly coder: WindowedValueCoder<unknown>;
  readonly edge: Edge;
}

interface KeyedTransform {
  readonly transformId: string;
  readonly operator: ParDoOperator;
  readonly state: RemoteState;
  readonly timers: RemoteTimers;
}

export interface BundleResult {
  readonly residuals: readonly DelayedApplication[];
  readonly callbacks: readonly (() => void | Promise<void>)[];
  readonly monitored: readonly Monitored[];
}

/** Elements are decoded and processed this many at a time before asynchronous work is awaited. */
const ELEMENTS_PER_TURN = 1_000;

/**
 * Executes the fused stage of one bundle descriptor: the operators of the embedded engine, between data streams, with state,
 * timers and side inputs kept by the runner. One bundle at a time; a worker makes as many processors as bundles run at once.
 */
export class BundleProcessor {
  readonly #descriptor: Descriptor;
  readonly #pipeline: BeamPipeline;
  readonly #streams: HarnessStreams;
  readonly #edges = new Map<string, Edge>();
  readonly #operators: Operator[] = [];
  readonly #sources = new Map<string, Source>();
  readonly #sinks: DataSink[] = [];
  readonly #keyed = new Map<string, KeyedTransform>();
  readonly #sideInputs: RemoteSideInputs[] = [];
  readonly #splittables = new Map<string, ProcessSizedElement>();
  readonly #jobStates: JobState<unknown, unknown>[] = [];
  readonly #metrics: { readonly transform: string; readonly metric: Metric }[] = [];
  readonly #coders = new Map<string, AnyCoder>();
  readonly #context: EngineContext;
  #callbacks: (() => void | Promise<void>)[] = [];
  #residuals: DelayedApplication[] = [];
  #isSetUp = false;

  constructor(descriptor: Descriptor, pipeline: BeamPipeline, streams: HarnessStreams) {
    this.#descriptor = descriptor;
    this.#pipeline = pipeline;
    this.#streams = streams;
    this.#context = {
      now: () => Date.now(),
      afterBundleCommit: (callback) => this.#callbacks.push(callback),
      countDroppedLate() {},
    };
    for (const [id, transform] of inTopologicalOrder(descriptor)) this.#add(id, transform);
  }

  // --- building ------------------------------------------------------------------------------------------------

  #edge(collectionId: string): Edge {
    let edge = this.#edges.get(collectionId);
    if (edge === undefined) {
      edge = new Edge(collectionId);
      this.#edges.set(collectionId, edge);
    }
    return edge;
  }

  #coder(id: string): AnyCoder {
    let coder = this.#coders.get(id);
    if (coder === undefined) {
      const proto = this.#descriptor.coders[id];
      if (proto?.spec === undefined)
        throw new InvalidPipelineError(`the runner names coder ${id}, but does not give it`);
      coder = createCoder(
        proto.spec.urn,
        proto.componentCoderIds.map((component) => this.#coder(component)),
        proto.spec.payload,
      );
      this.#coders.set(id, coder);
    }
    return coder;
  }

  #collectionCoder(collectionId: string): AnyCoder {
    return this.#coder(this.#descriptor.pcollections[collectionId]?.coderId ?? '');
  }

  #windowCoder(collectionId: string): AnyCoder {
    const { pcollections, windowingStrategies } = this.#descriptor;
    const strategy = windowingStrategies[pcollections[collectionId]?.windowingStrategyId ?? ''];
    return this.#coder(strategy?.windowCoderId ?? '');
  }

  #add(id: string, transform: PTransformProto): void {
    const operator = this.#create(id, transform);
    if (operator !== undefined) this.#operators.push(operator);
  }

  #create(id: string, transform: PTransformProto): Operator | undefined {
    const { spec, uniqueName: name } = transform;
    const payload = spec?.payload ?? new Uint8Array();
    const firstInput = (): Edge => this.#edge(Object.values(transform.inputs)[0] as string);
    const firstOutput = (): Edge => this.#edge(Object.values(transform.outputs)[0] ?? `${id}.unused`);
    switch (spec?.urn) {
      case 'beam:runner:source:v1': {
        const { coderId, apiServiceDescriptor } = fnApi.RemoteGrpcPort.fromBinary(payload);
        const coder = this.#coder(coderId) as WindowedValueCoder<unknown>;
        const edge = firstOutput();
        this.#sources.set(id, { transformId: id, dataUrl: apiServiceDescriptor?.url ?? '', coder, edge });
        return undefined;
      }
      case 'beam:runner:sink:v1': {
        const { coderId, apiServiceDescriptor } = fnApi.RemoteGrpcPort.fromBinary(payload);
        const sink = new DataSink(id, this.#coder(coderId) as WindowedValueCoder<unknown>, () =>
          this.#streams.data(apiServiceDescriptor?.url ?? ''),
        );
        firstInput().connect(sink);
        this.#sinks.push(sink);
        return undefined;
      }
      case urns.FLATTEN:
        return new FlattenOperator(
          name,
          Object.values(transform.inputs).map((input) => this.#edge(input)),
          firstOutput(),
        );
      case urns.WINDOW_INTO: {
        const { windowFn } = runnerApi.WindowIntoPayload.fromBinary(payload);
        return new WindowIntoOperator(name, firstInput(), firstOutput(), windowFnOf(this.#pipeline, windowFn));
      }
      case urns.PAR_DO:
        return this.#createParDo(id, transform);
      case urns.SDF_PAIR:
        return new PairWithRestriction(name, firstInput(), firstOutput(), this.#splittableOf(transform));
      case urns.SDF_SPLIT_AND_SIZE:
        return new SplitAndSize(name, firstInput(), firstOutput(), this.#splittableOf(transform));
      case urns.SDF_TRUNCATE:
        return new TruncateRestriction(name, firstInput(), firstOutput(), this.#splittableOf(transform));
      case urns.SDF_PROCESS:
        return this.#createProcessSized(id, transform);
      case urns.MERGE_WINDOWS: {
        const windowFn = windowFnOf(this.#pipeline, runnerApi.FunctionSpec.fromBinary(payload));
        return new MergeWindows(name, firstInput(), firstOutput(), windowFn);
      }
      default: {
        const step = COMBINE_STEPS[spec?.urn ?? ''];
        if (step === undefined) {
          throw new InvalidPipelineError(`transform "${name}" (${spec?.urn}) is not known to this worker`);
        }
        const { combineFn } = runnerApi.CombinePayload.fromBinary(payload);
        const fn = this.#found(name, new TextDecoder().decode(combineFn?.payload)) as CombineFn<
          unknown,
          unknown,
          unknown
        >;
        return new CombineStage(name, firstInput(), firstOutput(), fn, step);
      }
    }
  }

  #createParDo(id: string, transform: PTransformProto): Operator {
    const { uniqueName: name } = transform;
    const payload = runnerApi.ParDoPayload.fromBinary(transform.spec?.payload ?? new Uint8Array());
    const spec = payload.doFn;
    const input = this.#edge(mainInputOf(transform, Object.keys(payload.sideInputs)));
    const { main: mainId, ...taggedIds } = transform.outputs;
    const main = this.#edge(mainId ?? `${id}.unused`);
    switch (spec?.urn) {
      case urns.DOFN_BY_NAME: {
        const registered = this.#found(name, new TextDecoder().decode(spec.payload)) as RegisteredDoFn;
        return this.#createDoFn(id, transform, payload, registered, input, main, taggedIds);
      }
      case urns.TIMESTAMPS_BY_NAME: {
        const timestamps = this.#found(name, new TextDecoder().decode(spec.payload)) as RegisteredTimestamps<unknown>;
        return new AssignTimestampsOperator(name, input, main, timestamps);
      }
      default:
        throw new InvalidPipelineError(`transform "${name}" holds a function of an unknown kind, ${spec?.urn}`);
    }
  }

  #createDoFn(
    id: string,
    transform: PTransformProto,
    payload: ReturnType<typeof runnerApi.ParDoPayload.create>,
    { doFn, views, maxConcurrency }: RegisteredDoFn,
    input: Edge,
    main: Edge,
    taggedIds: Readonly<Record<string, string>>,
  ): Operator {
    const { uniqueName: name } = transform;
    const { states, timers } = declarationsOf(doFn);
    const stateUrl = this.#descriptor.stateApiServiceDescriptor?.url ?? '';
    const stateStream = (): StateStream => this.#streams.state(stateUrl);
    const sideInputs = this.#createSideInputs(id, transform, views, stateStream);
    const isKeyed = states.length + timers.length > 0;
    const keyCoder = isKeyed ? (this.#collectionCoder(input.name) as KvCoder<unknown, unknown>).keyCoder : undefined;
    const windowCoder = this.#windowCoder(input.name);
    const state = new RemoteState({
      transformId: id,
      specs: states,
      coders: new Map(Object.entries(payload.stateSpecs).map(([stateId, spec]) => [stateId, this.#stateCoder(spec)])),
      keyCoder: keyCoder as AnyCoder,
      windowCoder,
      stream: stateStream,
    });
    const families = Object.entries(payload.timerFamilySpecs).map(
      ([family, spec]) => [family, this.#coder(spec.timerFamilyCoderId) as TimerCoder<unknown>] as const,
    );
    const remoteTimers = new RemoteTimers(new Map(families));
    const remote: RemoteKeeper = { state, timers: remoteTimers, sideInputs };
    this.#jobStates.push(...jobStatesOf(doFn));
    for (const metric of metricsOf(doFn)) this.#metrics.push({ transform: id, metric });
    const expires = EXPIRY_FAMILY in payload.timerFamilySpecs;
    const operator = new ParDoOperator({
      name,
      doFn,
      input,
      main,
      tagged: new Map(Object.entries(taggedIds).map(([tag, collection]) => [tag, this.#edge(collection)])),
      context: this.#context,
      allowedLatenessMs: windowingOf(this.#pipeline, this.#descriptor as never, input.name).allowedLatenessMs,
      maxConcurrency,
      remote: expires ? { ...remote, expiryFamily: EXPIRY_FAMILY } : remote,
    });
    if (isKeyed) this.#keyed.set(id, { transformId: id, operator, state, timers: remoteTimers });
    return operator;
  }

  #createSideInputs(
    id: string,
    transform: PTransformProto,
    views: RegisteredDoFn['views'],
    stateStream: () => StateStream,
  ): RemoteSideInputs | undefined {
    if (views.size === 0) return undefined;
    const remoteViews = [...views].map(([sideInputId, view]): RemoteView => {
      const collection = transform.inputs[sideInputId] as string;
      return {
        view,
        sideInputId,
        windowFn: windowingOf(this.#pipeline, this.#descriptor as never, collection).windowFn,
        windowCoder: this.#windowCoder(collection),
        elementCoder: this.#collectionCoder(collection),
      };
    });
    const sideInputs = new RemoteSideInputs(id, transform.uniqueName, remoteViews, stateStream);
    this.#sideInputs.push(sideInputs);
    return sideInputs;
  }

  #stateCoder({ spec }: ReturnType<typeof runnerApi.StateSpec.create>): AnyCoder {
    if (spec.oneofKind === 'readModifyWriteSpec') return this.#coder(spec.readModifyWriteSpec.coderId);
    if (spec.oneofKind === 'bagSpec') return this.#coder(spec.bagSpec.elementCoderId);
    throw new InvalidPipelineError(`a state of kind ${spec.oneofKind} was not declared here`);
  }

  #createProcessSized(id: string, transform: PTransformProto): Operator {
    const inputId = Object.values(transform.inputs)[0] as string;
    const [inputName] = Object.keys(transform.inputs);
    const outputNames = Object.keys(transform.outputs);
    const coder = new WindowedValueCoder(this.#collectionCoder(inputId), this.#windowCoder(inputId) as never);
    const doFn = this.#splittableOf(transform);
    const output = this.#edge(Object.values(transform.outputs)[0] ?? `${id}.unused`);
    const operator = new ProcessSizedElement(transform.uniqueName, this.#edge(inputId), output, doFn, {
      onResidual: (residual) => {
        this.#residuals.push(applicationOf(residual, id, inputName as string, outputNames, coder, doFn.bounded));
      },
      afterCommit: (callback) => this.#callbacks.push(callback),
    });
    this.#splittables.set(id, operator);
    return operator;
  }

  #splittableOf(transform: PTransformProto): AnySplittable {
    const { doFn } = runnerApi.ParDoPayload.fromBinary(transform.spec?.payload ?? new Uint8Array());
    return this.#found(transform.uniqueName, new TextDecoder().decode(doFn?.payload)) as AnySplittable;
  }

  #found(transform: string, payload: string): unknown {
    const name = functionName(this.#pipeline, payload);
    const fn = findFunction(this.#pipeline, name);
    if (fn !== undefined) return fn;
    throw new InvalidPipelineError(
      `the function "${name}" of transform "${transform}" is not in this worker: start it with the pipeline module and options that the job was submitted with`,
    );
  }

  // --- running -------------------------------------------------------------------------------------------------

  /** Runs one bundle to its end. @throws what the first failing hook threw, as a TransformFailedError */
  async process(
    instructionId: string,
    request: fnApi.ProcessBundleRequest,
    stateCache: StateCache,
  ): Promise<BundleResult> {
    if (!this.#isSetUp) {
      for (const operator of this.#operators) await operator.setup();
      this.#isSetUp = true;
    }
    const userToken = request.cacheTokens.find(({ type }) => type.oneofKind === 'userState')?.token;
    for (const { state } of this.#keyed.values()) state.begin(instructionId, stateCache, userToken);
    for (const sideInputs of this.#sideInputs) sideInputs.begin(instructionId);
    for (const splittable of this.#splittables.values()) splittable.begin();
    for (const sink of this.#sinks) sink.begin(instructionId);
    try {
      await this.#consume(instructionId, request.elements);
      await this.#finish(instructionId);
    } catch (error) {
      for (const operator of this.#operators) await Promise.resolve(operator.settle()).catch(() => {});
      for (const { state, timers } of this.#keyed.values()) {
        state.reset();
        timers.reset();
      }
      for (const sink of this.#sinks) sink.reset();
      this.#callbacks = [];
      this.#residuals = [];
      throw error;
    } finally {
      for (const url of this.#dataUrls()) this.#streams.data(url).release(instructionId);
    }
    const result = { residuals: this.#residuals, callbacks: this.#callbacks, monitored: this.monitored() };
    this.#residuals = [];
    this.#callbacks = [];
    return result;
  }

  #dataUrls(): ReadonlySet<string> {
    const urls = new Set([...this.#sources.values()].map(({ dataUrl }) => dataUrl));
    if (this.#keyed.size > 0) urls.add(this.#timerUrl());
    return urls;
  }

  #timerUrl(): string {
    const url = this.#descriptor.timerApiServiceDescriptor?.url;
    return url !== undefined && url !== '' ? url : ([...this.#sources.values()][0]?.dataUrl ?? '');
  }

  async #consume(instructionId: string, embedded: Elements | undefined): Promise<void> {
    const open = new Set<string>(this.#sources.keys());
    for (const { transformId, timers } of this.#keyed.values()) {
      for (const family of timers.families) open.add(`${transformId}\u0000${family}`);
    }
    if (embedded !== undefined) await this.#take(embedded, open);
    const streams = [...this.#dataUrls()].map((url) => this.#streams.data(url).queue(instructionId));
    if (streams.length > 1) {
      await Promise.all(
        streams.map(async (queue) => {
          while (open.size > 0) for (const elements of await queue.take()) await this.#take(elements, open);
        }),
      );
      return;
    }
    const [queue] = streams;
    while (open.size > 0 && queue !== undefined) {
      for (const elements of await queue.take()) await this.#take(elements, open);
    }
  }

  async #take(elements: Elements, open: Set<string>): Promise<void> {
    for (const { transformId, data, isLast } of elements.data) {
      const source = this.#sources.get(transformId);
      if (source === undefined)
        throw new InvalidPipelineError(`data came for transform ${transformId}, which has none`);
      await this.#push(source, data);
      if (isLast) open.delete(transformId);
    }
    for (const { transformId, timerFamilyId, timers, isLast } of elements.timers) {
      const keyed = this.#keyed.get(transformId) as KeyedTransform;
      for (const timer of keyed.timers.decode(timerFamilyId, timers)) {
        for (const window of timer.windows) {
          keyed.operator.fire({
            key: timer.userKey,
            window,
            specId: timerFamilyId === EXPIRY_FAMILY ? WINDOW_EXPIRY : timerFamilyId,
            tag: timer.dynamicTimerTag,
            at: timer.fireTimestamp as number,
            outputTimestamp: timer.holdTimestamp as number,
          });
        }
      }
      await this.#settle();
      if (isLast) open.delete(`${transformId}\u0000${timerFamilyId}`);
    }
  }

  async #push({ coder, edge }: Source, data: Uint8Array): Promise<void> {
    const reader = new ByteReader(data);
    let sinceTurn = 0;
    while (!reader.isAtEnd) {
      const { value, timestamp, windows, pane } = coder.decode(reader, true);
      for (const window of windows) edge.receive(value, timestamp as EventTime, window, pane);
      sinceTurn += 1;
      if (sinceTurn === ELEMENTS_PER_TURN) {
        sinceTurn = 0;
        await this.#settle();
      }
    }
    await this.#settle();
  }

  /** Waits for what is asynchronous, and for sinks that the runner is slow to empty. */
  async #settle(): Promise<void> {
    for (const operator of this.#operators) {
      const settling = operator.settle();
      if (settling !== undefined) await settling;
    }
    for (const sink of this.#sinks) {
      const draining = sink.flushLarge();
      if (draining !== undefined) await draining;
    }
  }

  async #finish(instructionId: string): Promise<void> {
    for (const operator of this.#operators) {
      await operator.settle();
      await operator.finishBundle();
      await operator.complete();
      await operator.settle();
    }
    await Promise.all([...this.#keyed.values()].map(({ state }) => state.flush()));
    for (const keyed of this.#keyed.values()) await this.#sendTimers(instructionId, keyed);
    for (const sink of this.#sinks) await sink.finish();
    for (const state of this.#jobStates) {
      const change = state.takeChange();
      if (change !== undefined) state.apply([change.value]);
    }
  }

  async #sendTimers(instructionId: string, { transformId, timers }: KeyedTransform): Promise<void> {
    const pending = timers.take();
    const messages: fnApi.Elements_Timers[] = [];
    for (const [timerFamilyId, bytes] of pending) {
      messages.push({ instructionId, transformId, timerFamilyId, timers: bytes, isLast: false });
    }
    for (const timerFamilyId of timers.families) {
      messages.push({ instructionId, transformId, timerFamilyId, timers: new Uint8Array(), isLast: true });
    }
    if (messages.length > 0) await this.#streams.data(this.#timerUrl()).send({ data: [], timers: messages });
  }

  /** Asks splittable DoFns at work to give back what is left; it comes with the bundle's result. */
  requestCheckpoint(): void {
    for (const splittable of this.#splittables.values()) splittable.requestCheckpoint();
  }

  /** Counts and metrics so far. */
  monitored(): Monitored[] {
    const monitored: Monitored[] = [];
    for (const [id, edge] of this.#edges) {
      if (!(id in this.#descriptor.pcollections)) continue;
      monitored.push({
        urn: 'beam:metric:element_count:v1',
        type: 'beam:metrics:sum_int64:v1',
        labels: { PCOLLECTION: id },
        payload: varints(edge.elements),
      });
    }
    for (const { transform, metric } of this.#metrics) {
      const labels = { PTRANSFORM: transform, NAMESPACE: 'headwater', NAME: metric.name };
      const sample = sampleOf(metric);
      if (sample !== undefined) monitored.push({ ...sample, labels });
    }
    return monitored;
  }

  /** Counts start again with the next bundle. */
  resetCounts(): void {
    for (const edge of this.#edges.values()) edge.elements = 0;
    for (const { metric } of this.#metrics) {
      if (metric instanceof Counter) metric.value = 0;
      if (metric instanceof Distribution) Object.assign(metric, new Distribution(metric.name));
    }
  }

  async teardown(): Promise<void> {
    if (!this.#isSetUp) return;
    for (const operator of this.#operators) await operator.teardown();
  }
}

const COMBINE_STEPS: Readonly<Record<string, CombineStep>> = {
  'beam:transform:combine_per_key_precombine:v1': 'precombine',
  'beam:transform:combine_per_key_merge_accumulators:v1': 'merge',
  'beam:transform:combine_per_key_extract_outputs:v1': 'extract',
  'beam:transform:combine_per_key_convert_to_accumulators:v1': 'convert',
  'beam:transform:combine_grouped_values:v1': 'grouped',
};

function applicationOf(
  { element, timestamp, window, pane, delayMs, watermark }: Residual,
  transformId: string,
  inputId: string,
  outputNames: readonly string[],
  coder: WindowedValueCoder<unknown>,
  isBounded: boolean,
): DelayedApplication {
  const { BOUNDED, UNBOUNDED } = runnerApi.IsBounded_Enum;
  const reported = Math.min(watermark, MAX_EVENT_TIME);
  // Before the year 1 there is no protobuf timestamp: such a watermark says nothing and is left out.
  const outputWatermarks =
    reported < EARLIEST_TIMESTAMP_MS
      ? {}
      : Object.fromEntries(outputNames.map((name) => [name, timestampOf(reported)]));
  return {
    application: {
      transformId,
      inputId,
      element: encoded(coder, { value: element, timestamp, windows: [window as Window], pane }),
      outputWatermarks,
      isBounded: isBounded ? BOUNDED : UNBOUNDED,
    },
    requestedTimeDelay: { seconds: BigInt(Math.floor(delayMs / 1_000)), nanos: Math.floor(delayMs % 1_000) * 1e6 },
  };
}

const EARLIEST_TIMESTAMP_MS = -62_135_596_800_000;
const LATEST_TIMESTAMP_MS = 253_402_300_799_999;

function timestampOf(millis: number): { seconds: bigint; nanos: number } {
  const capped = Math.min(millis, LATEST_TIMESTAMP_MS);
  const seconds = Math.floor(capped / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((capped - seconds * 1_000) * 1e6) };
}

function inTopologicalOrder({ transforms }: Descriptor): readonly (readonly [string, PTransformProto])[] {
  const producers = new Map<string, string[]>();
  for (const [id, { outputs }] of Object.entries(transforms)) {
    for (const collection of Object.values(outputs)) {
      producers.set(collection, [...(producers.get(collection) ?? []), id]);
    }
  }
  const ordered: (readonly [string, PTransformProto])[] = [];
  const visited = new Set<string>();
  const visit = (id: string): void => {
    if (visited.has(id)) return;
    visited.add(id);
    const transform = transforms[id] as PTransformProto;
    for (const collection of Object.values(transform.inputs))
      for (const producer of producers.get(collection) ?? []) visit(producer);
    ordered.push([id, transform]);
  };
  for (const id of Object.keys(transforms)) visit(id);
  return ordered;
}
