import { BrokenCircuitError, type CircuitBreakerPolicy, ExponentialBackoff, handleWhen, retry, wrap } from 'cockatiel';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { createCircuit } from './circuit.ts';
import { RecordsRefusedError } from './errors.ts';
import { failureClassOf } from './failure_class.ts';
import { type TargetStates, targetStatesOf } from './target_states.ts';

export interface DeliverySettings {
  /** For messages and metrics: `online store`. */
  readonly target: string;
  readonly firstDelayMs?: number;
  readonly longestDelayMs?: number;
  /** After so long without success the caller gets the error. */
  readonly giveUpAfterMs?: number;
}

export interface DeliveryDeps {
  readonly log: Logger;
  readonly metrics: Registry;
}

/** What a target would never take, alone or with others. */
export interface Rejected<T> {
  readonly value: T;
  readonly reason: string;
}

const FAILURES_BEFORE_OPEN = 5;
const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 10_000;
const GIVE_UP_AFTER_MS = 600_000;

/** Refusals are final; outages and targets that a person has to mend are waited for. */
const mayPass = (error: unknown): boolean => error instanceof BrokenCircuitError || failureClassOf(error) !== 'record';

/**
 * The way to a store or topic: tries again with jittered, growing delays while an error says that it may help, and leaves the target alone for
 * a while when it keeps failing. Outages are waited out, which holds up the caller; so nothing is lost and nothing piles up.
 */
export class Delivery {
  readonly #settings: DeliverySettings;
  readonly #log: Logger;
  readonly #circuit: CircuitBreakerPolicy;
  readonly #states: TargetStates;
  #lastFailure: unknown;

  constructor({ log, metrics }: DeliveryDeps, settings: DeliverySettings) {
    const { target } = settings;
    this.#settings = settings;
    this.#log = log.child({ component: 'connectors.delivery', target });
    this.#states = targetStatesOf(metrics);
    const deps = { log: this.#log, metrics };
    this.#circuit = createCircuit(deps, { target, failuresBeforeOpen: FAILURES_BEFORE_OPEN, isFailure: mayPass });
  }

  /**
   * @param signal - aborted: no further attempts are made
   * @throws what `task` throws, when trying again cannot help or has not for long
   */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { firstDelayMs = FIRST_DELAY_MS, longestDelayMs = LONGEST_DELAY_MS } = this.#settings;
    const giveUpAt = Date.now() + (this.#settings.giveUpAfterMs ?? GIVE_UP_AFTER_MS);
    const again = retry(
      handleWhen((error) => mayPass(error) && signal?.aborted !== true && Date.now() < giveUpAt),
      {
        maxAttempts: Number.MAX_SAFE_INTEGER,
        backoff: new ExponentialBackoff({ initialDelay: firstDelayMs, maxDelay: longestDelayMs }),
      },
    );
    again.onRetry(({ attempt, delay, ...reason }) =>
      this.#log.warn({ ...reason, attempt, delayMs: Math.round(delay) }, 'delivery.retrying'),
    );
    let last: unknown;
    try {
      const result = await wrap(again, this.#circuit).execute(async () => {
        try {
          return await task();
        } catch (error) {
          last = error;
          // That a value is refused says nothing about the target.
          if (mayPass(error)) this.#states.failed(this.#settings.target, error);
          throw error;
        }
      }, signal);
      this.#states.succeeded(this.#settings.target);
      return result;
    } catch (error) {
      // That the circuit is open is not what is wrong.
      throw error instanceof BrokenCircuitError ? (last ?? this.#lastFailure ?? error) : error;
    } finally {
      if (last !== undefined) this.#lastFailure = last;
    }
  }

  /**
   * Writes a batch. When the target refuses it for good, halves are tried, down to single values: one that cannot be written does not
   * keep back the others. Each part is written once, and repeated alone while the target is away.
   *
   * @param write - writing a value again must change nothing
   * @param signal - aborted: no further attempts are made
   * @returns what was refused, each with the reason
   */
  writeAll<T>(
    batch: readonly T[],
    write: (batch: readonly T[]) => Promise<unknown>,
    signal?: AbortSignal,
  ): Promise<readonly Rejected<T>[]> {
    return writeInHalves(batch, (part) => this.run(() => write(part), signal)).then((rejected) => {
      for (const { reason } of rejected) this.#states.refused(this.#settings.target, reason);
      return rejected;
    });
  }
}

/**
 * Writes a batch in one call, and what is refused of it in ever smaller parts, down to single values; at most 2n - 1 calls for n values.
 *
 * @returns what was refused, each with the reason
 * @throws what {@link refusedInHalves} throws
 */
export async function writeInHalves<T>(
  batch: readonly T[],
  write: (batch: readonly T[]) => Promise<unknown>,
): Promise<readonly Rejected<T>[]> {
  const refused = await refusedInHalves(batch, write);
  return Array.from(refused, ([index, error]) => ({ value: batch[index] as T, reason: messageOf(error) }));
}

/**
 * Writes a batch as {@link writeInHalves} does. A {@link RecordsRefusedError} names the refused values itself, and says that the others are written.
 *
 * @returns the errors of what was refused, by position in the batch, in ascending order
 * @throws what `write` throws that is no refusal; parts before it are written
 */
export async function refusedInHalves<T>(
  batch: readonly T[],
  write: (batch: readonly T[]) => Promise<unknown>,
): Promise<ReadonlyMap<number, unknown>> {
  const refused = new Map<number, unknown>();
  // A stack and no recursion: the first part next.
  const parts: { readonly from: number; readonly part: readonly T[] }[] = [];
  if (batch.length > 0) parts.push({ from: 0, part: batch });
  for (let next = parts.pop(); next !== undefined; next = parts.pop()) {
    const { from, part } = next;
    try {
      await write(part);
    } catch (error) {
      if (mayPass(error)) throw error;
      if (error instanceof RecordsRefusedError) {
        for (const [index, reason] of error.refused) refused.set(from + index, reason);
      } else if (part.length === 1) refused.set(from, error);
      else {
        const middle = part.length >> 1;
        parts.push({ from: from + middle, part: part.slice(middle) }, { from, part: part.slice(0, middle) });
      }
    }
  }
  return refused;
}
