/** What threads share, and how their changes come together. */
export interface JobStateSpec<State, Change> {
  /** Unique in its DoFn. */
  readonly id: string;
  readonly initial: State;
  /** Of what decides the state's meaning: saved state of another identity is dropped. */
  readonly identity?: string;
  /** Saved state is dropped once, at the next restore. */
  readonly startsAfresh?: boolean;
  /** Returns the changes of two threads in one bundle as one. */
  merge(a: Change, b: Change): Change;
  /** Returns the state after a bundle, from all threads' changes in it. */
  apply(state: State, change: Change): State;
  /** Called once in the job when a bundle has changed the state, and when it was restored. */
  onChange?(state: State, before: State): void;
}

/** A state as plain data. */
export interface SavedJobState {
  readonly id: string;
  readonly identity: string | undefined;
  readonly state: unknown;
}

/** The state, or the changes, of one DoFn: on their way between threads, and in snapshots. */
export interface JobStateOf<T> {
  readonly transform: string;
  readonly id: string;
  readonly value: T;
}

/**
 * State of a DoFn that is one for all threads of a job, whatever their number: a field of it. Each thread gathers changes within a bundle; between two bundles the job merges
 * and applies them once, and all threads read the result. So what follows from it begins with the next bundle, on all threads alike. It is saved in
 * snapshots. On a portable runner each worker has its own.
 *
 * ```ts
 * class Limited implements DoFn<Row, Row> {
 *   readonly failures = new JobState<number, number>({ id: 'failures', initial: 0, merge: (a, b) => a + b, apply: (n, more) => n + more });
 *   process(row: Row, context: ProcessContext<Row>): void { if (this.failures.read() > 100) return; … this.failures.add(1); … }
 * }
 * ```
 */
export class JobState<State, Change> {
  readonly id: string;
  readonly #spec: JobStateSpec<State, Change>;
  #state: State;
  #change: { readonly value: Change } | undefined;
  #startsAfresh: boolean;

  constructor(spec: JobStateSpec<State, Change>) {
    this.id = spec.id;
    this.#spec = spec;
    this.#state = spec.initial;
    this.#startsAfresh = spec.startsAfresh ?? false;
  }

  /** Returns the state after the bundle before this one. */
  read(): State {
    return this.#state;
  }

  /** Adds to this bundle's changes. */
  add(change: Change): void {
    this.#change = { value: this.#change === undefined ? change : this.#spec.merge(this.#change.value, change) };
  }

  /** For the runner: ends the bundle on this thread. */
  takeChange(): { readonly value: Change } | undefined {
    const change = this.#change;
    this.#change = undefined;
    return change;
  }

  /** For the runner: applies the changes of all threads, where it decides for all. */
  apply(changes: readonly Change[]): void {
    const [first, ...others] = changes;
    if (first === undefined) return;
    const before = this.#state;
    this.#state = this.#spec.apply(
      before,
      others.reduce<Change>((a, b) => this.#spec.merge(a, b), first),
    );
    this.#spec.onChange?.(this.#state, before);
  }

  /** For the runner: takes over what was decided elsewhere. */
  follow(state: State): void {
    this.#state = state;
  }

  /** For the runner. */
  save(): SavedJobState {
    return { id: this.id, identity: this.#spec.identity, state: this.#state };
  }

  /** For the runner: takes saved state over, where it has one of this identity; otherwise begins at the initial one. */
  restore(saved: SavedJobState | undefined): void {
    this.#change = undefined;
    const before = this.#spec.initial;
    const isUsable = saved !== undefined && saved.identity === this.#spec.identity && !this.#startsAfresh;
    this.#startsAfresh = false;
    this.#state = isUsable ? (saved.state as State) : before;
  }

  /** For the runner: reports restored state, once in the job. */
  announce(): void {
    this.#spec.onChange?.(this.#state, this.#spec.initial);
  }
}

/** The job states that a DoFn has as fields. */
export const jobStatesOf = (doFn: object): readonly JobState<unknown, unknown>[] =>
  Object.values(doFn).filter((field): field is JobState<unknown, unknown> => field instanceof JobState);
