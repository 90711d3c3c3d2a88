import { BrokenCircuitError, type CircuitBreakerPolicy, ExponentialBackoff, handleWhen, retry, wrap } from 'cockatiel';
import { messageOf, PlatformError } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import type { Registry } from '#monitoring/metrics';
import { createCircuit } from './circuit.ts';
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

const mayPass = (error: unknown): boolean =>
  error instanceof BrokenCircuitError || !(error instanceof PlatformError) || error.retryable;

/**
 * The way to a store or topic: tries again with jittered, growing delays while an error says that it may help, and leaves the target alone for
 * a while when it keeps failing. Outages are waited out, which holds up whoever delivers; so nothing is lost and nothing piles up.
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

  /** @throws what `task` throws, when trying again cannot help or has not for long */
  async run<T>(task: () => Promise<T>): Promise<T> {
    const { firstDelayMs = FIRST_DELAY_MS, longestDelayMs = LONGEST_DELAY_MS } = this.#settings;
    const giveUpAt = Date.now() + (this.#settings.giveUpAfterMs ?? GIVE_UP_AFTER_MS);
    const again = retry(
      handleWhen((error) => mayPass(error) && Date.now() < giveUpAt),
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
      });
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
   * keep back the others.
   *
   * @param write - writing a value again must change nothing
   * @returns what was refused, each with the reason
   */
  async writeAll<T>(
    batch: readonly T[],
    write: (batch: readonly T[]) => Promise<unknown>,
  ): Promise<readonly Rejected<T>[]> {
    if (batch.length === 0) return [];
    try {
      await this.run(() => write(batch));
      return [];
    } catch (error) {
      if (mayPass(error)) throw error;
      if (batch.length === 1) {
        this.#states.refused(this.#settings.target, messageOf(error));
        return [{ value: batch[0] as T, reason: messageOf(error) }];
      }
      const middle = batch.length >> 1;
      const first = await this.writeAll(batch.slice(0, middle), write);
      return [...first, ...(await this.writeAll(batch.slice(middle), write))];
    }
  }
}
