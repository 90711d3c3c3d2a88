import { messageOf } from '#kernel/errors';
import { canonicalJson } from '#kernel/json';
import { type EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import { SnapshotError } from './errors.ts';
import { type Metric, metricsOf } from './metrics.ts';
import { ExchangeIn, ExchangeOut } from './operators/exchange.ts';
import { GroupByKeyOperator } from './operators/group_by_key.ts';
import { Edge, type EngineContext, type Operator } from './operators/operator.ts';
import { collectValues, combineValues, type GroupByKeyOptions } from './operators/panes.ts';
import { ParDoOperator } from './operators/par_do.ts';
import { CollectedSideInputs } from './operators/side_input.ts';
import {
  AssignTimestampsOperator,
  FlattenOperator,
  ImpulseOperator,
  PassThroughOperator,
  TestStreamOperator,
  WindowIntoOperator,
} from './operators/simple_operators.ts';
import { SlidingCombineOperator } from './operators/sliding_combine.ts';
import { SplittableOperator } from './operators/splittable_operator.ts';
import { heapBackend, type StateBackend } from './operators/state_backend.ts';
import { StoredGroupByKey } from './operators/stored/stored_group_by_key.ts';
import { StoredSlidingCombine } from './operators/stored/stored_sliding_combine.ts';
import { StrictEdge } from './operators/strict_edge.ts';
import type { Codec, Plan, PlanTransform } from './plan.ts';
import type { SavedTask } from './splitting/splittable.ts';
import type { SavedJobState } from './state/job_state.ts';
import { JobStates } from './state/job_states.ts';
import type { KeyShare } from './state/key_share.ts';
import type { SavedPart } from './state/snapshot.ts';
import { fitOf, fitSource, type OperatorSchema, type StateChange, schemaOf } from './state/state_schema.ts';

export interface ExecutorOptions {
  readonly now: () => number;
  readonly onDroppedLate: (transform: string) => void;
  readonly onRetry: (transform: string, error: unknown, delayMs: number) => void;
  /** Told how long each transform took at the end of a bundle: timers, panes, finishBundle, waiting for asynchronous work. */
  readonly onStage?: (transform: string, seconds: number) => void;
  /** Encode and decode every element between transforms, and forbid changing inputs. */
  readonly strict?: boolean;
  /** Called for whatever a restore does not take over as it was. */
  readonly onStateChange?: ((change: StateChange) => void) | undefined;
  readonly restorePolicy?: RestorePolicy | undefined;
  /** Where the state of DoFns lives; in the heap by default. */
  readonly backend?: StateBackend | undefined;
}

/** What a restore does with saved state that has no place any more. */
export interface RestorePolicy {
  /** Transforms whose saved state is given up. */
  readonly discard?: readonly string[] | undefined;
  /** State of transforms that are not in the pipeline any more; refused by default. */
  readonly removed?: 'refuse' | 'drop' | undefined;
}

/** What of a snapshot an executor restores. */
export interface RestoreOptions {
  /** The keys that are its own; all without it. */
  readonly share?: KeyShare | undefined;
  /** Transforms that other executors restore. */
  readonly elsewhere?: ReadonlySet<string>;
}

/** A transform in a snapshot, with the declaration it was made under. */
export interface SavedTransform {
  readonly name: string;
  readonly schema: OperatorSchema;
  readonly inputWatermark: EventTime;
  readonly outputWatermark: EventTime;
  readonly hasState: boolean;
  /** The operator's own, without its entries. */
  readonly head: unknown;
  /** Of its DoFn; absent where it has none. */
  readonly jobStates?: readonly SavedJobState[] | undefined;
}

export interface TransformSnapshot extends SavedTransform {
  readonly entries: Iterator<unknown>;
}

export interface RestoredTransform extends SavedTransform, SavedPart {}

const NO_CODECS: ReadonlyMap<string, Codec> = new Map();
const NO_ENTRIES: Iterator<unknown> = [][Symbol.iterator]();

/**
 * The operators of one plan and the order they work in. Runs on one thread: within a bundle, elements flow through direct
 * calls; between bundles everything is at rest, so a snapshot taken there is consistent.
 */
export class Executor {
  readonly #operators: Operator[] = [];
  readonly #transforms = new Map<string, PlanTransform>();
  readonly #schemas = new Map<string, OperatorSchema>();
  readonly #edges = new Map<string, Edge>();
  readonly sources: SplittableOperator[] = [];
  readonly testStreams: TestStreamOperator[] = [];
  readonly exchangesIn: ExchangeIn[] = [];
  readonly exchangesOut: ExchangeOut[] = [];
  #callbacks: (() => void | Promise<void>)[] = [];
  readonly #impulses: ImpulseOperator[] = [];
  readonly #codecs: ReadonlyMap<string, Codec>;
  readonly #onStage: ExecutorOptions['onStage'];
  readonly #onStateChange: ExecutorOptions['onStateChange'];
  readonly #restorePolicy: RestorePolicy;
  readonly #backend: StateBackend;
  /** Counters, distributions and gauges of DoFns, by transform. */
  readonly metrics: { readonly transform: string; readonly metric: Metric }[] = [];
  /** What DoFns share with their like on other threads. */
  readonly jobStates: JobStates;

  constructor(plan: Plan, options: ExecutorOptions) {
    this.#onStage = options.onStage;
    this.#onStateChange = options.onStateChange;
    this.#restorePolicy = options.restorePolicy ?? {};
    this.#backend = options.backend ?? heapBackend;
    this.jobStates = new JobStates(plan);
    // What a bundle had changed that failed.
    this.jobStates.takeChanges();
    this.#codecs = options.strict === true ? plan.codecs : NO_CODECS;
    const context: EngineContext = {
      now: options.now,
      afterBundleCommit: (callback) => this.#callbacks.push(callback),
      countDroppedLate: options.onDroppedLate,
    };
    for (const transform of plan.transforms) {
      const operator = this.#create(transform, context, options);
      this.#operators.push(operator);
      this.#transforms.set(transform.name, transform);
      this.#schemas.set(transform.name, schemaOf(transform));
      if (transform.kind !== 'parDo') continue;
      for (const metric of metricsOf(transform.doFn)) this.metrics.push({ transform: transform.name, metric });
    }
  }

  #create(transform: PlanTransform, context: EngineContext, options: ExecutorOptions): Operator {
    const { name } = transform;
    switch (transform.kind) {
      case 'impulse': {
        const impulse = new ImpulseOperator(name, this.#edge(transform.output));
        this.#impulses.push(impulse);
        return impulse;
      }
      case 'parDo':
        return new ParDoOperator({
          name,
          doFn: transform.doFn,
          input: this.#edge(transform.input),
          main: this.#edge(transform.main),
          tagged: new Map(Object.entries(transform.tagged).map(([tag, id]) => [tag, this.#edge(id)])),
          context,
          allowedLatenessMs: transform.allowedLatenessMs,
          maxConcurrency: transform.maxConcurrency,
          backend: this.#backend,
          ...this.#sideInputs(transform),
        });
      case 'groupByKey': {
        const { store } = this.#backend;
        const parts: GroupByKeyOptions = {
          name,
          input: this.#edge(transform.input),
          output: this.#edge(transform.output),
          windowing: transform.windowing,
          reducer: transform.combineFn === undefined ? collectValues : combineValues(transform.combineFn, name),
          context,
        };
        return store === undefined ? new GroupByKeyOperator(parts) : new StoredGroupByKey(parts, this.#backend, store);
      }
      case 'slidingCombine': {
        const { store } = this.#backend;
        const [input, output] = [this.#edge(transform.input), this.#edge(transform.output)];
        const parts = { ...transform, input, output, context };
        return store === undefined
          ? new SlidingCombineOperator(parts)
          : new StoredSlidingCombine(parts, this.#backend, store);
      }
      case 'testStream': {
        const stream = new TestStreamOperator(name, this.#edge(transform.output), transform.events);
        this.testStreams.push(stream);
        return stream;
      }
      case 'passThrough':
        return new PassThroughOperator(name, this.#edge(transform.input), this.#edge(transform.output));
      case 'exchangeOut': {
        const out = new ExchangeOut({ ...transform, input: this.#edge(transform.input) });
        this.exchangesOut.push(out);
        return out;
      }
      case 'exchangeIn': {
        const { output, exchange, codec } = transform;
        const exchangeIn = new ExchangeIn(name, this.#edge(output), exchange, codec);
        this.exchangesIn.push(exchangeIn);
        return exchangeIn;
      }
      case 'splittable': {
        const source = new SplittableOperator({
          name,
          doFn: transform.doFn,
          input: this.#edge(transform.input),
          output: this.#edge(transform.output),
          context,
          onRetry: options.onRetry,
        });
        this.sources.push(source);
        return source;
      }
      case 'flatten':
        return new FlattenOperator(
          name,
          transform.inputs.map((id) => this.#edge(id)),
          this.#edge(transform.output),
        );
      case 'windowInto':
        return new WindowIntoOperator(
          name,
          this.#edge(transform.input),
          this.#edge(transform.output),
          transform.windowFn,
        );
      case 'assignTimestamps':
        return new AssignTimestampsOperator(name, this.#edge(transform.input), this.#edge(transform.output), transform);
    }
  }

  #sideInputs({ name, sideInputs }: Extract<PlanTransform, { kind: 'parDo' }>): {
    readonly sideInputs?: CollectedSideInputs;
  } {
    if (sideInputs.length === 0) return {};
    const bindings = sideInputs.map(({ view, windowFn, input }) => ({ view, windowFn, input: this.#edge(input) }));
    return { sideInputs: new CollectedSideInputs(name, bindings) };
  }

  #edge(id: string): Edge {
    let edge = this.#edges.get(id);
    if (edge === undefined) {
      const codec = this.#codecs.get(id);
      edge = codec === undefined ? new Edge(id) : new StrictEdge(id, codec);
      this.#edges.set(id, edge);
    }
    return edge;
  }

  async setup(): Promise<void> {
    for (const operator of this.#operators) await operator.setup();
  }

  async teardown(): Promise<void> {
    for (const operator of this.#operators) await operator.teardown();
  }

  /**
   * One bundle: `feed` pushes elements in, then each operator in topological order finishes what it has, fires what its
   * watermark makes due, and passes its own watermark on.
   *
   * @param overlap - what sinks have left under way may continue after it, until {@link complete}
   */
  async runBundle(feed: () => void, now: number, overlap = false): Promise<void> {
    for (const impulse of this.#impulses) impulse.fire();
    feed();
    const onStage = this.#onStage;
    for (const operator of this.#operators) {
      const startedMs = onStage === undefined ? 0 : performance.now();
      if (operator.nextProcessingTime() !== undefined) {
        while (operator.advanceProcessingTime(now)) await this.#relieve();
      }
      await operator.settle();
      operator.advanceWatermark();
      await operator.settle();
      while (operator.fireDue()) {
        await operator.settle();
        if (this.#backend.isFull) await this.#relieve();
      }
      await operator.finishBundle();
      if (!overlap) await operator.complete();
      await operator.settle();
      operator.publishWatermark();
      onStage?.(operator.name, (performance.now() - startedMs) / 1_000);
    }
    if (this.#backend.isFull) await this.#relieve();
  }

  /** Transforms further down may have calls under way that hold cells. */
  async #relieve(): Promise<void> {
    for (const operator of this.#operators) await operator.settle();
    await this.#backend.relieve();
  }

  /** Resolves when nothing that bundles have left under way is pending. */
  async complete(now: number): Promise<void> {
    if (this.#operators.some(({ isIncomplete }) => isIncomplete)) await this.runBundle(() => {}, now);
  }

  /** What to call once the bundles so far are durable; each is handed out once. */
  takeCallbacks(): readonly (() => void | Promise<void>)[] {
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    return callbacks;
  }

  get isImpulsePending(): boolean {
    return this.#impulses.some((impulse) => !impulse.fired);
  }

  nextProcessingTime(): number | undefined {
    let next: number | undefined;
    for (const operator of this.#operators) {
      const at = operator.nextProcessingTime();
      if (at !== undefined && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  /** True when no element, timer or source can come any more. */
  get isFinished(): boolean {
    return this.#operators.every((operator) => operator.outputWatermark >= MAX_EVENT_TIME);
  }

  /** Slowest output watermark of all transforms. */
  watermark(): number {
    return Math.min(...this.#operators.map((operator) => operator.outputWatermark));
  }

  /** Output watermark of each transform. */
  watermarks(): ReadonlyMap<string, number> {
    return new Map(this.#operators.map(({ name, outputWatermark }) => [name, outputWatermark]));
  }

  /** Elements that have passed through each PCollection since the start, by the producing transform. */
  elementCounts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const edge of this.#edges.values()) {
      for (const producer of edge.producers)
        counts.set(producer.name, (counts.get(producer.name) ?? 0) + edge.elements);
    }
    return counts;
  }

  /**
   * Begins a snapshot of the state between two bundles; it is completed by visiting `entries` of each transform, with
   * bundles in between.
   *
   * @param take - entries that are about to change, as they are
   * @param isDrained - the end of time was let through to close windows; the next job begins where the sources are, not at the end of time
   */
  beginSnapshot(take: (transform: number, entry: unknown) => void, isDrained = false): TransformSnapshot[] {
    return this.#operators.map((operator, index) => {
      const snapshot = operator.beginSnapshot((entry) => take(index, entry));
      return {
        name: operator.name,
        schema: this.#schemas.get(operator.name) as OperatorSchema,
        inputWatermark: isDrained ? MIN_EVENT_TIME : operator.inputWatermark,
        outputWatermark: isDrained ? MIN_EVENT_TIME : operator.outputWatermark,
        hasState: snapshot !== undefined,
        head: snapshot?.head,
        jobStates: this.jobStates.saved(operator.name),
        entries: snapshot?.entries ?? NO_ENTRIES,
      };
    });
  }

  endSnapshot(): void {
    for (const operator of this.#operators) operator.endSnapshot();
  }

  /**
   * Takes saved state over, part by part by name: parts that are new start empty, parts that are gone are dropped, parts that mean something else are refused (docs/adr/0017).
   * A transform that several threads have kept is in `snapshot` once for each.
   *
   * @throws {@link SnapshotError} naming each transform whose state does not fit, and how it differs; nothing is restored then
   */
  async restore(snapshot: readonly RestoredTransform[], { share, elsewhere }: RestoreOptions = {}): Promise<void> {
    const policy = this.#restorePolicy;
    const operators = new Map(this.#operators.map((operator) => [operator.name, operator]));
    const problems: string[] = [];
    const changes: StateChange[] = [];
    const restores: [name: string, restore: () => void | Promise<void>][] = [];
    for (const [name, parts] of byName(snapshot)) {
      const operator = operators.get(name);
      const transform = this.#transforms.get(name);
      const isDiscarded = policy.discard?.includes(name) === true;
      const hasState = parts.some((part) => part.hasState);
      if (operator === undefined || transform === undefined) {
        if (!hasState || elsewhere?.has(name) === true) continue;
        if (isDiscarded || policy.removed === 'drop') {
          changes.push({ transform: name, change: 'dropped', detail: 'it is not in the pipeline any more' });
        } else problems.push(`"${name}" is in the snapshot with state, but not in the pipeline`);
        continue;
      }
      // What one of the threads can still emit, the transform can.
      operator.inputWatermark = Math.min(...parts.map((part) => part.inputWatermark)) as EventTime;
      operator.outputWatermark = Math.min(...parts.map((part) => part.outputWatermark)) as EventTime;
      if (isDiscarded) {
        if (hasState) changes.push({ transform: name, change: 'dropped', detail: 'as requested; it starts empty' });
        continue;
      }
      // One value for all threads of the job: each part holds the same.
      const jobStates = parts.find((part) => part.jobStates !== undefined)?.jobStates ?? [];
      restores.push([name, () => this.jobStates.restore(name, jobStates)]);
      const [{ schema }] = parts as readonly [RestoredTransform];
      const current = this.#schemas.get(name) as OperatorSchema;
      if (!hasState && schema.operator !== current.operator) continue;
      const fit = fitOf(transform, schema, current);
      problems.push(...fit.problems);
      changes.push(...fit.changes);
      if (!hasState || fit.isDiscarded || fit.problems.length > 0) continue;
      const held = parts.filter((part) => part.hasState);
      if (transform.kind === 'splittable') {
        const source = fitSource(
          transform,
          held.flatMap(({ head }) => head as readonly SavedTask[]),
        );
        problems.push(...source.problems);
        changes.push(...source.changes);
        restores.push([name, () => operator.restore([{ head: source.tasks, entries: [] }], {})]);
      } else restores.push([name, () => operator.restore(held, { mapping: fit.mapping, share })]);
    }
    if (problems.length > 0) {
      throw new SnapshotError(
        `the snapshot is of another pipeline: ${problems.join('; ')}. Restore it with the pipeline that wrote it, drain that one first, discard the state of the transforms named (discardState), or start from another snapshot directory`,
      );
    }
    const saved = new Set(snapshot.map(({ name }) => name));
    for (const [name, { parts }] of this.#schemas) {
      if (parts.length > 0 && !saved.has(name)) {
        changes.push({ transform: name, change: 'started_empty', detail: 'it is new in the pipeline' });
      }
    }
    for (const [name, restore] of restores) {
      try {
        const restoring = restore();
        if (restoring !== undefined) await restoring;
      } catch (error) {
        throw new SnapshotError(`the state of "${name}" cannot be read: ${messageOf(error)}`, error);
      }
    }
    for (const change of changes) this.#onStateChange?.(change);
  }

  /** Whether a transform's saved state is of the transform as it is now, so that a store that holds it can be used as it is. */
  isAsSaved({ name, schema }: SavedTransform): boolean {
    const current = this.#schemas.get(name);
    const isKept = this.#restorePolicy.discard?.includes(name) !== true;
    return isKept && current !== undefined && canonicalJson(current) === canonicalJson(schema);
  }

  /** Whether keys of saved state have another form by now: whose they are is known only when they were read. */
  changesKeys(snapshot: readonly RestoredTransform[]): boolean {
    return snapshot.some(({ name, hasState, schema }) => {
      const current = this.#schemas.get(name);
      return hasState && current !== undefined && schema.keys !== current.keys;
    });
  }

  /** Names of its transforms. */
  get transforms(): Iterable<string> {
    return this.#transforms.keys();
  }
}

function byName(snapshot: readonly RestoredTransform[]): ReadonlyMap<string, readonly RestoredTransform[]> {
  const parts = new Map<string, RestoredTransform[]>();
  for (const part of snapshot) {
    const held = parts.get(part.name);
    if (held === undefined) parts.set(part.name, [part]);
    else held.push(part);
  }
  return parts;
}
