import type { Plan } from '../plan.ts';
import { type JobState, type JobStateOf, jobStatesOf, type SavedJobState } from './job_state.ts';

interface Placed {
  readonly transform: string;
  readonly state: JobState<unknown, unknown>;
}

/** All job states of a plan's DoFns. */
export class JobStates {
  readonly #states: readonly Placed[];

  constructor({ transforms }: Plan) {
    this.#states = transforms.flatMap((transform) =>
      transform.kind === 'parDo'
        ? jobStatesOf(transform.doFn).map((state) => ({ transform: transform.name, state }))
        : [],
    );
  }

  /** Ends a bundle where one thread does it all. */
  applyOwn(): void {
    for (const { state } of this.#states) {
      const change = state.takeChange();
      if (change !== undefined) state.apply([change.value]);
    }
  }

  /** Ends a bundle on a thread that does not decide. */
  takeChanges(): readonly JobStateOf<unknown>[] {
    return this.#states.flatMap(({ transform, state }) => {
      const change = state.takeChange();
      return change === undefined ? [] : [{ transform, id: state.id, value: change.value }];
    });
  }

  /** Applies the changes of one bundle on all threads, in their order. */
  apply(changes: readonly JobStateOf<unknown>[]): void {
    if (changes.length === 0) return;
    for (const { transform, state } of this.#states) {
      state.apply(
        changes.filter((one) => one.transform === transform && one.id === state.id).map(({ value }) => value),
      );
    }
  }

  values(): readonly JobStateOf<unknown>[] {
    return this.#states.map(({ transform, state }) => ({ transform, id: state.id, value: state.read() }));
  }

  follow(values: readonly JobStateOf<unknown>[]): void {
    for (const { transform, state } of this.#states) {
      const value = values.find((one) => one.transform === transform && one.id === state.id);
      if (value !== undefined) state.follow(value.value);
    }
  }

  /** Of one transform; undefined where it has none. */
  saved(transform: string): readonly SavedJobState[] | undefined {
    const saved = this.#states.filter((one) => one.transform === transform).map(({ state }) => state.save());
    return saved.length === 0 ? undefined : saved;
  }

  restore(transform: string, saved: readonly SavedJobState[]): void {
    for (const { state } of this.#states.filter((one) => one.transform === transform)) {
      state.restore(saved.find(({ id }) => id === state.id));
    }
  }

  announce(): void {
    for (const { state } of this.#states) state.announce();
  }
}
