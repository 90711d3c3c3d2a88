/**
 * When the elements collected for a key and window are emitted. Semantics follow Apache Beam's triggers
 * (programming guide §9; state machines as in its Java ReduceFnRunner).
 */
export type Trigger =
  /** Once at the end of the window, then for each late element. */
  | { readonly kind: 'default' }
  | { readonly kind: 'always' }
  | { readonly kind: 'never' }
  | { readonly kind: 'afterEndOfWindow'; readonly early?: Trigger; readonly late?: Trigger }
  | { readonly kind: 'afterCount'; readonly count: number }
  /** `delayMs` of processing time after the pane's first element. */
  | { readonly kind: 'afterProcessingTime'; readonly delayMs: number }
  | { readonly kind: 'repeatedly'; readonly trigger: Trigger }
  | { readonly kind: 'orFinally'; readonly trigger: Trigger; readonly until: Trigger }
  | { readonly kind: 'afterEach' | 'afterAll' | 'afterAny'; readonly triggers: readonly Trigger[] };

/** What a trigger remembers about one key and window; plain data, so that snapshots hold it. */
export interface TriggerState {
  finished: boolean;
  /** afterCount: elements since the last firing. */
  count: number;
  /** afterProcessingTime: when it is due; Infinity while nothing has arrived. */
  dueAt: number;
  readonly parts: TriggerState[];
}

/** What a trigger may read and request. */
export interface TriggerScope {
  /** The input watermark has passed the end of the window. */
  readonly windowEnded: boolean;
  /** Processing time, ms. */
  readonly now: number;
  /** Asks to be looked at again at processing time `at`. */
  wakeAt(at: number): void;
}

/** One node of a compiled trigger; every method works on that node's part of the state. */
export abstract class TriggerMachine {
  protected readonly parts: readonly TriggerMachine[];

  constructor(parts: readonly TriggerMachine[] = []) {
    this.parts = parts;
  }

  create(): TriggerState {
    return {
      finished: false,
      count: 0,
      dueAt: Number.POSITIVE_INFINITY,
      parts: this.parts.map((part) => part.create()),
    };
  }

  /** Back to how it began. */
  reset(state: TriggerState): void {
    state.finished = false;
    state.count = 0;
    state.dueAt = Number.POSITIVE_INFINITY;
    for (const [index, part] of this.parts.entries()) part.reset(partOf(state, index));
  }

  /** Called once state is restored: what waits for a time is woken then; what was saved under a longer delay is due by the delay of now. */
  resume(state: TriggerState, scope: TriggerScope): void {
    for (const [index, part] of this.parts.entries()) part.resume(partOf(state, index), scope);
  }

  abstract onElement(state: TriggerState, scope: TriggerScope): void;
  abstract shouldFire(state: TriggerState, scope: TriggerScope): boolean;
  /** Called when the whole trigger fires; may finish this node, or begin it again. */
  abstract onFire(state: TriggerState, scope: TriggerScope): void;
  /** The state of a window that came from merging the windows of `sources`; at least one. */
  abstract merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState;

  protected mergeParts(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.create();
    for (const [index, part] of this.parts.entries()) {
      merged.parts[index] = part.merge(
        sources.map((source) => partOf(source, index)),
        scope,
      );
    }
    return merged;
  }
}

const partOf = (state: TriggerState, index: number): TriggerState => state.parts[index] as TriggerState;
const allFinished = (states: readonly TriggerState[]): boolean => states.every(({ finished }) => finished);
const anyFinished = (states: readonly TriggerState[]): boolean => states.some(({ finished }) => finished);

class DefaultTrigger extends TriggerMachine {
  onElement(): void {}
  shouldFire(_: TriggerState, scope: TriggerScope): boolean {
    return scope.windowEnded;
  }
  onFire(): void {}
  merge(): TriggerState {
    return this.create();
  }
}

class Always extends DefaultTrigger {
  override shouldFire(): boolean {
    return true;
  }
}

class Never extends DefaultTrigger {
  override shouldFire(): boolean {
    return false;
  }
}

class AfterCount extends TriggerMachine {
  readonly #count: number;

  constructor(count: number) {
    super();
    this.#count = count;
  }

  onElement(state: TriggerState): void {
    state.count += 1;
  }

  shouldFire(state: TriggerState): boolean {
    return state.count >= this.#count;
  }

  onFire(state: TriggerState): void {
    state.count = 0;
    state.finished = true;
  }

  merge(sources: readonly TriggerState[]): TriggerState {
    const merged = this.create();
    merged.finished = anyFinished(sources);
    if (!merged.finished) merged.count = sources.reduce((sum, { count }) => sum + count, 0);
    return merged;
  }
}

class AfterProcessingTime extends TriggerMachine {
  readonly #delayMs: number;

  constructor(delayMs: number) {
    super();
    this.#delayMs = delayMs;
  }

  onElement(state: TriggerState, scope: TriggerScope): void {
    if (state.dueAt !== Number.POSITIVE_INFINITY) return;
    state.dueAt = scope.now + this.#delayMs;
    scope.wakeAt(state.dueAt);
  }

  override resume(state: TriggerState, scope: TriggerScope): void {
    if (!Number.isFinite(state.dueAt)) return;
    state.dueAt = Math.min(state.dueAt, scope.now + this.#delayMs);
    scope.wakeAt(state.dueAt);
  }

  shouldFire(state: TriggerState, scope: TriggerScope): boolean {
    return scope.now >= state.dueAt;
  }

  onFire(state: TriggerState): void {
    state.dueAt = Number.POSITIVE_INFINITY;
    state.finished = true;
  }

  merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.create();
    merged.finished = allFinished(sources);
    merged.dueAt = Math.min(...sources.filter(({ finished }) => !finished).map(({ dueAt }) => dueAt));
    if (Number.isFinite(merged.dueAt)) scope.wakeAt(merged.dueAt);
    return merged;
  }
}

const EARLY = 0;
const LATE = 1;

/** Part 0 repeats before the end of the window, part 1 after it; part 0 finished says the end has been fired. */
class AfterEndOfWindow extends TriggerMachine {
  readonly #repeatsLate: boolean;

  constructor(early: TriggerMachine, late: TriggerMachine | undefined) {
    super([new Repeatedly(early), new Repeatedly(late ?? new Never())]);
    this.#repeatsLate = late !== undefined;
  }

  onElement(state: TriggerState, scope: TriggerScope): void {
    const phase = partOf(state, EARLY).finished ? LATE : EARLY;
    this.#part(phase).onElement(partOf(state, phase), scope);
  }

  shouldFire(state: TriggerState, scope: TriggerScope): boolean {
    if (partOf(state, EARLY).finished) return this.#part(LATE).shouldFire(partOf(state, LATE), scope);
    return scope.windowEnded || this.#part(EARLY).shouldFire(partOf(state, EARLY), scope);
  }

  onFire(state: TriggerState, scope: TriggerScope): void {
    const early = partOf(state, EARLY);
    if (early.finished) {
      this.#part(LATE).onFire(partOf(state, LATE), scope);
    } else if (scope.windowEnded) {
      early.finished = true;
      state.finished = !this.#repeatsLate;
    } else {
      this.#part(EARLY).onFire(early, scope);
    }
  }

  merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.mergeParts(sources, scope);
    // The merged window has a later end: what fired for a part of it may be to come again.
    const ended = allFinished(sources.map((source) => partOf(source, EARLY))) && scope.windowEnded;
    partOf(merged, EARLY).finished = ended;
    if (!ended) this.#part(LATE).reset(partOf(merged, LATE));
    merged.finished = ended && !this.#repeatsLate;
    return merged;
  }

  #part(phase: number): TriggerMachine {
    return this.parts[phase] as TriggerMachine;
  }
}

class Repeatedly extends TriggerMachine {
  readonly #part: TriggerMachine;

  constructor(part: TriggerMachine) {
    super([part]);
    this.#part = part;
  }

  onElement(state: TriggerState, scope: TriggerScope): void {
    this.#part.onElement(partOf(state, 0), scope);
  }

  shouldFire(state: TriggerState, scope: TriggerScope): boolean {
    return this.#part.shouldFire(partOf(state, 0), scope);
  }

  onFire(state: TriggerState, scope: TriggerScope): void {
    const part = partOf(state, 0);
    this.#part.onFire(part, scope);
    if (part.finished) this.#part.reset(part);
  }

  merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.mergeParts(sources, scope);
    if (partOf(merged, 0).finished) this.#part.reset(partOf(merged, 0));
    return merged;
  }
}

class OrFinally extends TriggerMachine {
  readonly #actual: TriggerMachine;
  readonly #until: TriggerMachine;

  constructor(actual: TriggerMachine, until: TriggerMachine) {
    super([actual, until]);
    this.#actual = actual;
    this.#until = until;
  }

  onElement(state: TriggerState, scope: TriggerScope): void {
    this.#actual.onElement(partOf(state, 0), scope);
    this.#until.onElement(partOf(state, 1), scope);
  }

  shouldFire(state: TriggerState, scope: TriggerScope): boolean {
    return this.#actual.shouldFire(partOf(state, 0), scope) || this.#until.shouldFire(partOf(state, 1), scope);
  }

  onFire(state: TriggerState, scope: TriggerScope): void {
    if (this.#until.shouldFire(partOf(state, 1), scope)) {
      state.finished = true;
      return;
    }
    const actual = partOf(state, 0);
    this.#actual.onFire(actual, scope);
    state.finished = actual.finished;
  }

  merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.mergeParts(sources, scope);
    merged.finished = anyFinished(merged.parts);
    return merged;
  }
}

class AfterEach extends TriggerMachine {
  onElement(state: TriggerState, scope: TriggerScope): void {
    const at = this.#active(state);
    this.parts[at]?.onElement(partOf(state, at), scope);
  }

  shouldFire(state: TriggerState, scope: TriggerScope): boolean {
    const at = this.#active(state);
    return this.parts[at]?.shouldFire(partOf(state, at), scope) ?? false;
  }

  onFire(state: TriggerState, scope: TriggerScope): void {
    const at = this.#active(state);
    this.parts[at]?.onFire(partOf(state, at), scope);
    state.finished = allFinished(state.parts);
  }

  merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.mergeParts(sources, scope);
    // What follows a part that is to come again has not begun.
    const active = this.#active(merged);
    for (const [index, part] of this.parts.entries()) if (index > active) part.reset(partOf(merged, index));
    merged.finished = allFinished(merged.parts);
    return merged;
  }

  #active(state: TriggerState): number {
    const at = state.parts.findIndex(({ finished }) => !finished);
    return at < 0 ? this.parts.length : at;
  }
}

class AfterAll extends TriggerMachine {
  onElement(state: TriggerState, scope: TriggerScope): void {
    for (const [index, part] of this.parts.entries()) {
      if (!partOf(state, index).finished) part.onElement(partOf(state, index), scope);
    }
  }

  shouldFire(state: TriggerState, scope: TriggerScope): boolean {
    return this.parts.every(
      (part, index) => partOf(state, index).finished || part.shouldFire(partOf(state, index), scope),
    );
  }

  onFire(state: TriggerState, scope: TriggerScope): void {
    for (const [index, part] of this.parts.entries()) {
      if (!partOf(state, index).finished) part.onFire(partOf(state, index), scope);
    }
    state.finished = allFinished(state.parts);
  }

  merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.mergeParts(sources, scope);
    merged.finished = allFinished(merged.parts);
    return merged;
  }
}

class AfterAny extends TriggerMachine {
  onElement(state: TriggerState, scope: TriggerScope): void {
    for (const [index, part] of this.parts.entries()) part.onElement(partOf(state, index), scope);
  }

  shouldFire(state: TriggerState, scope: TriggerScope): boolean {
    return this.parts.some((part, index) => part.shouldFire(partOf(state, index), scope));
  }

  onFire(state: TriggerState): void {
    state.finished = true;
  }

  merge(sources: readonly TriggerState[], scope: TriggerScope): TriggerState {
    const merged = this.mergeParts(sources, scope);
    merged.finished = anyFinished(merged.parts);
    return merged;
  }
}

/** @throws RangeError for a count below 1, a negative delay, or a composite of nothing */
export function compileTrigger(trigger: Trigger): TriggerMachine {
  switch (trigger.kind) {
    case 'default':
      return new DefaultTrigger();
    case 'always':
      return new Always();
    case 'never':
      return new Never();
    case 'afterEndOfWindow':
      return new AfterEndOfWindow(
        trigger.early === undefined ? new Never() : compileTrigger(trigger.early),
        trigger.late && compileTrigger(trigger.late),
      );
    case 'afterCount':
      if (!(trigger.count >= 1)) throw new RangeError(`afterCount needs at least 1, not ${trigger.count}`);
      return new AfterCount(trigger.count);
    case 'afterProcessingTime':
      if (!(trigger.delayMs >= 0)) throw new RangeError(`afterProcessingTime needs a delay, not ${trigger.delayMs}`);
      return new AfterProcessingTime(trigger.delayMs);
    case 'repeatedly':
      return new Repeatedly(compileTrigger(trigger.trigger));
    case 'orFinally':
      return new OrFinally(compileTrigger(trigger.trigger), compileTrigger(trigger.until));
    case 'afterEach':
    case 'afterAll':
    case 'afterAny': {
      if (trigger.triggers.length === 0) throw new RangeError(`${trigger.kind} needs at least one trigger`);
      const parts = trigger.triggers.map(compileTrigger);
      if (trigger.kind === 'afterEach') return new AfterEach(parts);
      return trigger.kind === 'afterAll' ? new AfterAll(parts) : new AfterAny(parts);
    }
  }
}
