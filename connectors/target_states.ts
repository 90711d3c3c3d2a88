import { messageOf } from '#kernel/errors';
import type { HealthState } from '#monitoring/health';
import { counterOf, gaugeOf, type Registry, sharedByRegistry } from '#monitoring/metrics';

interface TargetState {
  /** When the first of the failures in a row happened, ms; undefined while writing succeeds. */
  failingSinceMs: number | undefined;
  lastError: string;
  /** Values refused for good since one was taken. */
  refusedInARow: number;
  lastRefusal: string;
  lastRefusalMs: number;
}

/** A target that fails for so long is down; before, its retries may still help. */
const DOWN_AFTER_MS = 10_000;
/** A target that takes none of so many values in a row refuses all. */
const REFUSED_BEFORE_DOWN = 20;
/** So long a single refusal is worth a look. */
const REFUSAL_SHOWN_MS = 300_000;

/** How writing to each target of a job goes: what its {@link Delivery} objects have met. */
export class TargetStates {
  readonly #targets = new Map<string, TargetState>();
  readonly #refused;
  readonly #now: () => number;

  constructor(registry: Registry, now: () => number = Date.now) {
    this.#now = now;
    this.#refused = counterOf(registry, {
      name: 'delivery_refused_total',
      help: 'Values that a target has refused for good; they went to the dead letters',
      labelNames: ['target'],
    });
    const failing = gaugeOf(registry, {
      name: 'delivery_failing_seconds',
      help: 'How long writing to a target has failed without success; 0 while it works',
      labelNames: ['target'],
      collect: () => {
        for (const [target, { failingSinceMs }] of this.#targets)
          failing.set({ target }, failingSinceMs === undefined ? 0 : (this.#now() - failingSinceMs) / 1_000);
      },
    });
  }

  #of(target: string): TargetState {
    let state = this.#targets.get(target);
    if (state === undefined) {
      state = { failingSinceMs: undefined, lastError: '', refusedInARow: 0, lastRefusal: '', lastRefusalMs: 0 };
      this.#targets.set(target, state);
    }
    return state;
  }

  succeeded(target: string): void {
    const state = this.#of(target);
    state.failingSinceMs = undefined;
    state.refusedInARow = 0;
  }

  failed(target: string, error: unknown): void {
    const state = this.#of(target);
    state.failingSinceMs ??= this.#now();
    state.lastError = messageOf(error);
  }

  /** The target works and does not take this value. */
  refused(target: string, reason: string): void {
    const state = this.#of(target);
    state.failingSinceMs = undefined;
    state.refusedInARow += 1;
    state.lastRefusal = reason;
    state.lastRefusalMs = this.#now();
    this.#refused.inc({ target });
  }

  /** Returns the worst of all targets, each problem named. */
  health(): HealthState {
    const now = this.#now();
    const down: string[] = [];
    const degraded: string[] = [];
    for (const [target, state] of this.#targets) {
      if (state.failingSinceMs !== undefined) {
        const forMs = now - state.failingSinceMs;
        const list = forMs >= DOWN_AFTER_MS ? down : degraded;
        list.push(`writing to ${target} has failed for ${Math.round(forMs / 1_000)} s: ${state.lastError}`);
      } else if (state.refusedInARow >= REFUSED_BEFORE_DOWN) {
        down.push(`${target} has refused the last ${state.refusedInARow} values: ${state.lastRefusal}`);
      } else if (state.lastRefusalMs > 0 && now - state.lastRefusalMs < REFUSAL_SHOWN_MS) {
        degraded.push(`${target} has refused a value: ${state.lastRefusal}`);
      }
    }
    if (down.length > 0) return { status: 'down', reason: [...down, ...degraded].join('; ') };
    if (degraded.length > 0) return { status: 'degraded', reason: degraded.join('; ') };
    return { status: 'up' };
  }

  /** The target that writing waits for now; undefined when none fails. */
  get failing(): string | undefined {
    for (const [target, { failingSinceMs }] of this.#targets) if (failingSinceMs !== undefined) return target;
    return undefined;
  }
}

/** The targets of whatever reports to `registry`. */
export const targetStatesOf = sharedByRegistry((registry) => new TargetStates(registry));
