import { PlatformError } from '#kernel/errors';
import { canonicalJson } from '#kernel/json';
import { groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection } from '#pipelines/model/pcollection';
import { create, flatten, keyBy, named, parDo, windowInto } from '#pipelines/model/transforms';
import { never } from '#pipelines/model/windows/triggers';
import { globalWindows } from '#pipelines/model/windows/windowing';

/** A collection did not hold what a test expected of it; the job fails with this. */
export class PipelineAssertionError extends PlatformError {
  readonly code = 'PIPELINE_ASSERTION_FAILED';

  constructor(name: string, problem: string) {
    super(`assertion "${name}": ${problem}`, { fault: 'internal', retryable: false });
  }
}

/**
 * Names of assertions that were checked in this process and held. A runner that loses elements also loses the checks: a test
 * looks here that each was made.
 */
export const heldAssertions = new Set<string>();

interface Boxed<T> {
  /** Empty in the one element that makes the check run over an empty collection too. */
  readonly values: readonly T[];
}

/**
 * Checks a collection where it is computed, so that it works on every runner: the job fails when the check does. All panes of
 * all windows are seen together, once nothing more can come.
 */
export class CollectionAssertion<T> {
  readonly #collection: PCollection<T>;
  readonly #name: string;

  constructor(collection: PCollection<T>, name: string) {
    this.#collection = collection;
    this.#name = name;
  }

  /** The same elements as many times each; order does not matter. Compared by their JSON. */
  containsInAnyOrder(expected: readonly T[]): void {
    const wanted = expected.map(textOf).sort();
    this.satisfies((values) => {
      const actual = values.map(textOf).sort();
      const missing = without(wanted, actual);
      const surplus = without(actual, wanted);
      if (missing.length === 0 && surplus.length === 0) return undefined;
      return `missing [${missing.join(', ')}], not expected [${surplus.join(', ')}]`;
    });
  }

  isEmpty(): void {
    this.containsInAnyOrder([]);
  }

  /** @param check - says what is wrong; undefined when nothing is */
  satisfies(check: (values: readonly T[]) => string | undefined): void {
    const name = this.#name;
    const root = this.#collection.root();
    // Unbounded collections too: everything comes out when the window expires.
    const windowing = { windowFn: globalWindows(), trigger: never };
    const always = root
      .apply(create<Boxed<T>>([{ values: [] }], `${name} always`))
      .apply(windowInto<Boxed<T>>(windowing, `${name} always in one window`));
    const boxed = this.#collection
      .apply(windowInto<T>(windowing, `${name} in one window`))
      .apply(
        parDo<T, Boxed<T>>(
          { process: (value, context) => context.output({ values: [value] }) },
          { name: `${name} box` },
        ),
      );
    flatten([always, boxed], `${name} all`).apply(
      named(name, (all: PCollection<Boxed<T>>) =>
        all
          .apply(keyBy(() => 'all'))
          .apply(groupByKey())
          .apply(
            parDo<KV<string, readonly Boxed<T>[]>, never>(
              {
                process({ value }) {
                  const problem = check(value.flatMap(({ values }) => values));
                  if (problem !== undefined) throw new PipelineAssertionError(name, problem);
                  heldAssertions.add(name);
                },
              },
              { name: 'Check' },
            ),
          ),
      ),
    );
  }
}

/** Says what a collection must hold. `name` is unique within the pipeline. */
export const assertThat = <T>(collection: PCollection<T>, name = 'AssertThat'): CollectionAssertion<T> =>
  new CollectionAssertion(collection, name);

const textOf = (value: unknown): string => (value === undefined ? 'undefined' : canonicalJson(value));

/** What of sorted `all` is not in sorted `other`, counted. */
function without(all: readonly string[], other: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const text of other) counts.set(text, (counts.get(text) ?? 0) + 1);
  return all.filter((text) => {
    const left = counts.get(text) ?? 0;
    counts.set(text, left - 1);
    return left <= 0;
  });
}
