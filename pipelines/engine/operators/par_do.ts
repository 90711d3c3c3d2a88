import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { Concurrency } from '../concurrency.ts';
import { declarationsOf } from '../declarations.ts';
import type { DoFn, PaneInfo, StateSpec, TimerSpec } from '../dofn.ts';
import { InvalidPipelineError, TransformFailedError } from '../errors.ts';
import {
  type DueEntry,
  eachStored,
  type OperatorSnapshot,
  type RestoreScope,
  type SavedPart,
  type TakeEntry,
} from '../state/snapshot.ts';
import { keepsTimer } from '../state/state_schema.ts';
import {
  type KeyedTimers,
  type PendingTimer,
  type SavedTimer,
  TimerQueue,
  type TimerStore,
} from '../time/timer_queue.ts';
import { type SavedHolds, WatermarkHolds } from '../time/watermark_holds.ts';
import { GLOBAL_WINDOW, reviveWindow, type SavedWindow, saveWindow, type Window } from '../windowing/window.ts';
import { ElementContext } from './element_context.ts';
import { keyIdIn } from './key_identity.ts';
import type { OperatorState, SavedKey, StateStore } from './keyed_state.ts';
import { type Edge, type EngineContext, NO_FIRING, Operator } from './operator.ts';
import type { CollectedSideInputs, SideInputs } from './side_input.ts';
import { heapBackend, type StateBackend } from './state_backend.ts';
import { StoredTimers, timersTable } from './stored/stored_timers.ts';

export interface ParDoOptions {
  readonly name: string;
  readonly doFn: DoFn<never, unknown>;
  readonly input: Edge;
  readonly main: Edge;
  readonly tagged: ReadonlyMap<string, Edge>;
  readonly context: EngineContext;
  /** How long a window's state outlives its end, ms. */
  readonly allowedLatenessMs: number;
  readonly sideInputs?: CollectedSideInputs;
  /** Where its state lives; in the heap by default. */
  readonly backend?: StateBackend;
  /** A runner elsewhere keeps state and timers, and says when windows expire. */
  readonly remote?: RemoteKeeper;
  /** Async calls in flight at once; the others wait. One a key for stateful DoFns. Default {@link DEFAULT_MAX_CONCURRENCY}. */
  readonly maxConcurrency?: number | undefined;
}

/** State, timers and side inputs kept by a runner elsewhere. */
export interface RemoteKeeper {
  readonly state: StateStore;
  readonly timers: TimerStore;
  readonly sideInputs: SideInputs | undefined;
  /** Timer family that says a window expires, when the DoFn has onWindowExpiration. */
  readonly expiryFamily?: string;
}

/** An element that came before its side inputs. */
interface Waiting {
  readonly value: unknown;
  readonly timestamp: EventTime;
  readonly window: Window;
  readonly pane: PaneInfo;
}

/** Internal timer that drops a window's state when the window expires. */
export const WINDOW_EXPIRY = '\u0000expiry';

/** Timers that fire before the state's backend may make room. */
const MOST_TIMERS_A_ROUND = 10_000;

/** As many as Flink's asynchronous I/O has in flight. */
export const DEFAULT_MAX_CONCURRENCY = 100;

type AnyDoFn = DoFn<unknown, unknown>;

/** Runs a user's {@link DoFn}. Keys are `element.key` when the DoFn declares state or timers. */
export class ParDoOperator extends Operator {
  readonly #doFn: AnyDoFn;
  readonly #options: ParDoOptions;
  readonly #states: StateSpec<unknown>[];
  readonly #timers: Map<string, TimerSpec>;
  readonly #keyed: boolean;
  readonly #backend: StateBackend;
  readonly #state: OperatorState;
  readonly #keeper: StateStore;
  readonly #eventTimers: KeyedTimers;
  readonly #processingTimers: KeyedTimers;
  /** Both, where they are in a store. */
  readonly #storedTimers: readonly StoredTimers[];
  readonly #sideInputs: SideInputs | undefined;
  #waiting: Waiting[] = [];
  readonly #waitingHolds = new WatermarkHolds();
  /** Reused for every synchronous call; an asynchronous call takes it along and leaves a fresh one. */
  #current: ElementContext;
  #bundleOpen = false;
  #isIncomplete = false;
  readonly #running = new Set<Promise<void>>();
  readonly #keyChains = new Map<unknown, Promise<void>>();
  readonly #concurrency: Concurrency;
  #failure: unknown;
  #opening: Promise<void> | undefined;

  constructor(options: ParDoOptions) {
    super(options.name, options.input);
    this.#options = options;
    this.#doFn = options.doFn as AnyDoFn;
    this.#concurrency = new Concurrency(options.maxConcurrency ?? DEFAULT_MAX_CONCURRENCY);
    const { states, timers } = declarationsOf(options.doFn);
    this.#states = states;
    this.#timers = new Map(timers.map((timer) => [timer.id, timer]));
    this.#keyed = states.length > 0 || timers.length > 0;
    this.#backend = options.backend ?? heapBackend;
    this.#state = this.#backend.cellsOf({
      transform: options.name,
      slots: states.length,
      beforeSave: states.map(({ schema }) => schema?.beforeSave?.bind(schema)),
    });
    this.#keeper = options.remote?.state ?? this.#state;
    const { store } = this.#backend;
    if (store === undefined || !this.#keyed) {
      this.#storedTimers = [];
      this.#eventTimers = new TimerQueue('event');
      this.#processingTimers = new TimerQueue('processing');
    } else {
      const table = timersTable(store, options.name);
      this.#eventTimers = new StoredTimers('event', store, options.name, table);
      this.#processingTimers = new StoredTimers('processing', store, options.name, table);
      this.#storedTimers = [this.#eventTimers, this.#processingTimers] as StoredTimers[];
    }
    this.#sideInputs = options.remote === undefined ? options.sideInputs : options.remote.sideInputs;
    this.#current = this.#newContext();
    if (timers.length > 0 && this.#doFn.onTimer === undefined) {
      throw new InvalidPipelineError(`transform "${this.name}" declares timer "${timers[0]?.id}" but has no onTimer`);
    }
    options.main.producers.push(this);
    for (const edge of options.tagged.values()) edge.producers.push(this);
  }

  override setup(): void | Promise<void> {
    return this.#doFn.setup?.();
  }

  override teardown(): void | Promise<void> {
    return this.#doFn.teardown?.();
  }

  override receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    if (this.#sideInputs !== undefined && !this.#sideInputs.isReady(window)) {
      this.#await(this.#sideInputs, { value, timestamp, window, pane });
      return;
    }
    this.#dispatch(value, timestamp, window, pane);
  }

  /** Keeps an element until its side inputs are there. */
  #await(sideInputs: SideInputs, waiting: Waiting): void {
    const loading = sideInputs.load?.(waiting.window);
    if (loading !== undefined) {
      const { value, timestamp, window, pane } = waiting;
      this.#defer(loading, () => this.#dispatch(value, timestamp, window, pane));
      return;
    }
    this.#waiting.push(waiting);
    this.#waitingHolds.add(waiting.timestamp);
  }

  #dispatch(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    if (!this.#bundleOpen) this.#startBundle();
    if (this.#keyed) {
      this.#processKeyed(value as { readonly key: unknown }, timestamp, window, pane);
      return;
    }
    if (this.#opening !== undefined || this.#concurrency.isFull) {
      this.#defer(this.#opening, () => this.#whenFree(() => this.#process(value, timestamp, window, pane)));
      return;
    }
    const running = this.#process(value, timestamp, window, pane);
    if (running !== undefined) void this.#counted(running);
  }

  #process(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): Promise<void> | undefined {
    const context = this.#current;
    context.at(timestamp, window, pane);
    return this.#callProcess(value, context);
  }

  /** As {@link #call}, without a closure for each element. */
  #callProcess(value: unknown, context: ElementContext): Promise<void> | undefined {
    let result: void | Promise<void>;
    try {
      result = this.#doFn.process(value, context);
    } catch (error) {
      throw this.#failed('process', value, error);
    }
    return this.#outcome('process', value, context, result);
  }

  /** A call in flight takes a place until it has ended. */
  #counted(running: Promise<void>): Promise<void> {
    this.#concurrency.enter();
    return running.then(() => this.#concurrency.leave());
  }

  /** Runs a task as soon as there is a place, unless the bundle has failed by then. */
  async #whenFree(task: () => Promise<void> | undefined): Promise<void> {
    await this.#concurrency.free();
    try {
      if (this.#failure === undefined) await task();
    } finally {
      this.#concurrency.leave();
    }
  }

  #processKeyed(value: { readonly key: unknown }, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const expiresAt = window.maxTimestamp() + this.#options.allowedLatenessMs;
    const { remote } = this.#options;
    const wantsExpiry = this.#doFn.onWindowExpiration !== undefined;
    const isExpiring = wantsExpiry || (window !== GLOBAL_WINDOW && remote === undefined);
    if (remote === undefined && isExpiring && expiresAt < this.inputWatermark) {
      this.#options.context.countDroppedLate(this.name);
      return;
    }
    const { key } = value;
    const keyId = keyIdIn(this.name, key);
    const expiry = isExpiring ? expiresAt : undefined;
    if (this.#isIdle()) {
      const running = this.#processEntered(value, keyId, timestamp, window, pane, expiry);
      if (running !== undefined) this.#chain(keyId, this.#counted(running));
      return;
    }
    this.#perKey(key, keyId, window, () => this.#processEntered(value, keyId, timestamp, window, pane, expiry));
  }

  /** Whether nothing has to be waited for, whatever the key. */
  #isIdle(): boolean {
    const isWaiting = this.#keyChains.size > 0 || this.#opening !== undefined || this.#keeper.load !== undefined;
    return !isWaiting && !this.#concurrency.isFull;
  }

  /** @param expiresAt - of the window, where its state is dropped then */
  #processEntered(
    value: { readonly key: unknown },
    keyId: unknown,
    timestamp: EventTime,
    window: Window,
    pane: PaneInfo,
    expiresAt: number | undefined,
  ): Promise<void> | undefined {
    if (expiresAt !== undefined) this.#scheduleExpiry(value.key, keyId, window, expiresAt);
    const context = this.#current;
    context.at(timestamp, window, pane);
    context.enter(value.key, keyId);
    return this.#callProcess(value, context);
  }

  /** Runs `task` now, or after what already runs for its key, the bundle's opening, or the fetching of its state. */
  #perKey(key: unknown, keyId: unknown, window: Window, task: () => Promise<void> | undefined): void {
    const before = this.#keyChains.get(keyId) ?? this.#opening ?? this.#keeper.load?.(key, keyId, window);
    if (before === undefined && !this.#concurrency.isFull) {
      const running = task();
      if (running !== undefined) this.#chain(keyId, this.#counted(running));
      return;
    }
    this.#chain(
      keyId,
      this.#afterwards(before, () => this.#keeper.load?.(key, keyId, window), task),
    );
  }

  async #afterwards(
    before: Promise<void> | undefined,
    load: () => Promise<void> | undefined,
    task: () => Promise<void> | undefined,
  ): Promise<void> {
    await before;
    await load();
    await this.#whenFree(task);
  }

  #chain(keyId: unknown, promise: Promise<void>): void {
    this.#keyChains.set(keyId, promise);
    this.#track(
      promise.then(() => {
        if (this.#keyChains.get(keyId) === promise) this.#keyChains.delete(keyId);
      }),
    );
  }

  #defer(before: Promise<void> | undefined, task: () => void | Promise<void>): void {
    this.#track((before ?? Promise.resolve()).then(task));
  }

  /** Calls a hook; returns a promise only when the hook did. Errors are kept for {@link settle}, or thrown when sync. */
  #call(
    hook: string,
    element: unknown,
    context: ElementContext,
    call: () => void | Promise<void>,
  ): Promise<void> | undefined {
    let result: void | Promise<void>;
    try {
      result = call();
    } catch (error) {
      throw this.#failed(hook, element, error);
    }
    return this.#outcome(hook, element, context, result);
  }

  #outcome(
    hook: string,
    element: unknown,
    context: ElementContext,
    result: void | Promise<void>,
  ): Promise<void> | undefined {
    // An arrow function may return what its last call does: that is nothing to wait for.
    if (result === undefined || typeof result.then !== 'function') {
      if (this.#keyed) context.leave();
      return undefined;
    }
    this.#current = this.#newContext();
    const running = result.then(
      () => context.leave(),
      (error: unknown) => {
        this.#failure ??= this.#failed(hook, element, error);
      },
    );
    this.#track(running);
    return running;
  }

  #failed(hook: string, element: unknown, error: unknown): unknown {
    // A failure downstream in the same call is already named; blame the innermost transform only.
    return error instanceof TransformFailedError ? error : new TransformFailedError(this.name, hook, element, error);
  }

  #track(promise: Promise<void>): void {
    const tracked = promise.then(
      () => {
        this.#running.delete(tracked);
      },
      (error: unknown) => {
        this.#failure ??= error;
        this.#running.delete(tracked);
      },
    );
    this.#running.add(tracked);
  }

  #startBundle(): void {
    this.#bundleOpen = true;
    if (this.#doFn.startBundle === undefined) return;
    const context = this.#atBundle();
    const opening = this.#call('startBundle', undefined, context, () => this.#doFn.startBundle?.(context));
    if (opening === undefined) return;
    this.#opening = opening;
    this.#track(
      opening.then(() => {
        this.#opening = undefined;
      }),
    );
  }

  override settle(): Promise<void> | undefined {
    if (this.#running.size === 0 && this.#failure === undefined) return undefined;
    return this.#settleAll();
  }

  async #settleAll(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
  }

  override finishBundle(): void | Promise<void> {
    if (!this.#bundleOpen) return undefined;
    this.#bundleOpen = false;
    if (this.#doFn.finishBundle === undefined) return undefined;
    this.#isIncomplete = this.#doFn.complete !== undefined;
    const context = this.#atBundle();
    return this.#call('finishBundle', undefined, context, () => this.#doFn.finishBundle?.(context));
  }

  override get isIncomplete(): boolean {
    return this.#isIncomplete;
  }

  override complete(): void | Promise<void> {
    if (!this.#isIncomplete) return undefined;
    this.#isIncomplete = false;
    const context = this.#atBundle();
    return this.#call('complete', undefined, context, () => this.#doFn.complete?.(context));
  }

  // --- time ----------------------------------------------------------------------------------------------------

  /** Elements that wait for side inputs hold this transform's time back, so that they are not late when they continue. */
  override advanceWatermark(): void {
    const { sideInputs } = this.#options;
    if (sideInputs === undefined) {
      super.advanceWatermark();
      return;
    }
    sideInputs.advance();
    const waiting = this.#waiting;
    if (waiting.length > 0) {
      this.#waiting = waiting.filter(({ window }) => !sideInputs.isReady(window));
      for (const { value, timestamp, window, pane } of waiting) {
        if (!sideInputs.isReady(window)) continue;
        this.#waitingHolds.remove(timestamp);
        this.#dispatch(value, timestamp, window, pane);
      }
    }
    const watermark = Math.min(this.input?.watermark() ?? this.inputWatermark, this.#waitingHolds.earliest());
    if (watermark <= this.inputWatermark) return;
    this.inputWatermark = watermark as EventTime;
    sideInputs.forget(watermark, this.#options.allowedLatenessMs);
  }

  /** Also those that were set in the past since. */
  override fireDue(): boolean {
    return this.#eventTimers.size > 0 && this.#fireDue(this.#eventTimers, this.inputWatermark, MOST_TIMERS_A_ROUND);
  }

  override nextProcessingTime(): number | undefined {
    return this.#processingTimers.nextAt();
  }

  override advanceProcessingTime(now: number): boolean {
    this.#fireDue(this.#processingTimers, now);
    return this.#processingTimers.isHungry;
  }

  /** In order of time; a key's next timer waits for an asynchronous call of it, which may move or clear that timer. */
  #fireDue(queue: KeyedTimers, now: number, most = Number.POSITIVE_INFINITY): boolean {
    const postponed: PendingTimer[] = [];
    let fired = 0;
    while (fired < most) {
      const due = queue.popDue(now, keyIdOf);
      if (due === undefined) break;
      fired += 1;
      if (this.#keyChains.has(keyIdOf(due.key))) postponed.push(due);
      else this.fire(due);
    }
    for (const timer of postponed) queue.set(keyIdOf(timer.key), timer);
    return fired > 0 || queue.isHungry;
  }

  /** Calls the hook of a timer that is due. A runner that keeps the timers calls this itself. */
  fire(timer: PendingTimer): void {
    if (!this.#bundleOpen) this.#startBundle();
    const keyId = keyIdOf(timer.key);
    const { window } = timer;
    this.#perKey(timer.key, keyId, window, () => {
      const context = this.#current;
      context.at(timer.outputTimestamp as EventTime, window, NO_FIRING);
      context.enter(timer.key, keyId);
      context.firing(timer);
      if (timer.specId === WINDOW_EXPIRY) return this.#expire(keyId, window, context);
      const spec = this.#timers.get(timer.specId) as TimerSpec;
      return this.#call(`onTimer(${timer.specId})`, undefined, context, () => this.#doFn.onTimer?.(spec, context));
    });
  }

  #expire(keyId: unknown, window: Window, context: ElementContext): Promise<void> | undefined {
    const done = (): void => {
      this.#keeper.drop(keyId, window);
    };
    const running = this.#call('onWindowExpiration', undefined, context, () =>
      this.#doFn.onWindowExpiration?.(context),
    );
    if (running === undefined) {
      done();
      return undefined;
    }
    return running.then(done);
  }

  #scheduleExpiry(key: unknown, keyId: unknown, window: Window, expiresAt: number): void {
    const { remote } = this.#options;
    // What is output at the expiry belongs to the window, and must not be late after it.
    const outputTimestamp = window.maxTimestamp();
    if (remote !== undefined) {
      const specId = remote.expiryFamily as string;
      remote.timers.set(keyId, { key, window, specId, tag: '', at: expiresAt, outputTimestamp });
      return;
    }
    // After all timers of the window.
    const at = expiresAt + 0.5;
    const holds = this.#doFn.onWindowExpiration !== undefined;
    this.#eventTimers.set(keyId, {
      key,
      window,
      specId: WINDOW_EXPIRY,
      tag: '',
      at,
      outputTimestamp: holds ? outputTimestamp : at,
    });
  }

  protected override watermarkHold(): number {
    return Math.min(this.#eventTimers.earliestHold(), this.#processingTimers.earliestHold());
  }

  // --- durability ----------------------------------------------------------------------------------------------

  override beginSnapshot(take: TakeEntry): OperatorSnapshot | undefined {
    if (!this.#keyed && this.#options.sideInputs === undefined) return undefined;
    this.#state.beginSnapshot((key) => take({ key } as SavedEntry));
    const timers = [this.#eventTimers.save(), this.#processingTimers.save()] as const;
    const head: SavedHead = {
      sideInputs: this.#options.sideInputs?.save(),
      waiting: this.#waiting.map((waiting) => ({ ...waiting, window: saveWindow(waiting.window) })),
      holds: this.#storedTimers.map((stored) => stored.saveHolds()),
    };
    const due = this.#storedTimers.map((stored) => stored.saveDue());
    return { head, entries: this.#entries(...timers, due) };
  }

  *#entries(
    eventTimers: Iterable<SavedTimer>,
    processingTimers: Iterable<SavedTimer>,
    due: readonly Iterable<DueEntry>[],
  ): Generator<SavedEntry | DueEntry | undefined> {
    for (const key of this.#state.unsaved()) yield key === undefined ? undefined : { key };
    for (const eventTimer of eventTimers) yield { eventTimer };
    for (const processingTimer of processingTimers) yield { processingTimer };
    for (const entries of due) yield* entries;
  }

  override endSnapshot(): void {
    this.#state.endSnapshot();
  }

  override restore(parts: readonly SavedPart[], scope: RestoreScope): void | Promise<void> {
    const waiting = parts.flatMap(({ head }) => (head as SavedHead).waiting);
    const own = waiting.filter((saved, place) => this.#ownsWaiting(saved, place, scope));
    this.#waiting = own.map((saved) => ({ ...saved, window: reviveWindow(saved.window) }));
    for (const { timestamp } of this.#waiting) this.#waitingHolds.add(timestamp);
    for (const { head, entries, due } of parts) {
      const { sideInputs, holds } = head as SavedHead;
      // Each thread has all of its side inputs.
      this.#options.sideInputs?.restore(sideInputs);
      if (due !== undefined) this.#restoreDue(holds ?? [], due);
      this.#restoreEntries(entries, scope);
    }
    return eachStored(
      parts,
      () => this.#backend.relieve(),
      (entries) => this.#restoreEntries(entries, scope),
    );
  }

  #restoreDue(holds: readonly SavedHolds[], all: NonNullable<SavedPart['due']>): void {
    for (const [place, stored] of this.#storedTimers.entries()) stored.restoreHolds(holds[place] ?? []);
    for (const due of all) this.#storedTimers[due[0]]?.restoreDue(due, keyIdOf);
  }

  #ownsWaiting({ value }: Pick<Waiting, 'value'>, place: number, { share }: RestoreScope): boolean {
    if (share === undefined) return true;
    return this.#keyed ? share.ownsKey((value as { readonly key: unknown }).key) : share.ownsElement(place);
  }

  #restoreEntries(entries: Iterable<unknown>, { mapping, share }: RestoreScope): void {
    const keeps = (domain: 'event' | 'processing', { specId }: SavedTimer): boolean =>
      mapping === undefined || keepsTimer(mapping, domain, specId);
    const keyOf = mapping?.keyOf ?? ((key: unknown): unknown => key);
    for (const { key: saved, eventTimer, processingTimer } of entries as Iterable<SavedEntry>) {
      const timer = eventTimer ?? processingTimer;
      const key = keyOf(saved === undefined ? timer?.key : saved[0]);
      if (key === undefined || share?.ownsKey(key) === false) continue;
      if (saved !== undefined) this.#state.restore([key, saved[1]], mapping);
      if (eventTimer !== undefined && keeps('event', eventTimer)) {
        this.#eventTimers.restore({ ...eventTimer, key }, keyIdOf);
      }
      if (processingTimer !== undefined && keeps('processing', processingTimer)) {
        this.#processingTimers.restore({ ...processingTimer, key }, keyIdOf);
      }
    }
  }

  // --- what the context needs ----------------------------------------------------------------------------------

  /** A context of its own: outside of an element, what is output carries a time of its own. */
  #atBundle(): ElementContext {
    const context = this.#newContext(Number.POSITIVE_INFINITY);
    context.at(this.inputWatermark, GLOBAL_WINDOW, NO_FIRING);
    return context;
  }

  #newContext(allowedSkewMs = this.#doFn.allowedTimestampSkewMs ?? 0): ElementContext {
    const { remote } = this.#options;
    return new ElementContext({
      operator: this,
      main: this.#options.main,
      tagged: this.#options.tagged,
      engine: this.#options.context,
      states: this.#states,
      state: this.#keeper,
      timers: this.#timers,
      eventTimers: remote?.timers ?? this.#eventTimers,
      processingTimers: remote?.timers ?? this.#processingTimers,
      sideInputs: this.#sideInputs,
      allowedSkewMs,
      allowedLatenessMs: this.#options.allowedLatenessMs,
    });
  }
}

interface SavedHead {
  readonly sideInputs: unknown;
  readonly waiting: readonly (Omit<Waiting, 'window'> & { readonly window: SavedWindow })[];
  /** Of timers in a store. */
  readonly holds?: readonly SavedHolds[];
}

/** One of the three. */
interface SavedEntry {
  readonly key?: SavedKey;
  readonly eventTimer?: SavedTimer;
  readonly processingTimer?: SavedTimer;
}
