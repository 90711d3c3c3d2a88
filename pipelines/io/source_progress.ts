import { messageOf } from '#kernel/errors';
import type { HealthState } from '#monitoring/health';
import { gaugeOf, type Registry, sharedByRegistry } from '#monitoring/metrics';

interface PartitionState {
  readonly topic: string;
  readonly partition: string;
  /** When a read began that has not returned, ms. */
  readingSinceMs: number | undefined;
  /** Since when every read has failed, ms. */
  failingSinceMs: number | undefined;
  lastError: string;
  /** Since when every read has returned nothing although records wait, ms. */
  emptySinceMs: number | undefined;
  /** When the newest read returned, ms. */
  lastReadMs: number;
  lagRecords: number;
}

interface Stall {
  readonly forMs: number;
  readonly why: string;
}

const MOVES: Stall = { forMs: 0, why: '' };

/**
 * Whether each partition of a job's sources moves. A partition is stalled when reading it fails, does not return, or returns nothing while
 * records wait. While a sink holds the job up nothing is read, and that is no stall of the partition.
 */
export class SourceProgress {
  readonly #partitions = new Map<string, PartitionState>();
  readonly #now: () => number;

  constructor(registry: Registry, now: () => number = Date.now) {
    this.#now = now;
    const stalled = gaugeOf(registry, {
      name: 'source_stalled_seconds',
      help: 'How long a partition cannot be read, or has not moved although records wait; 0 while it moves',
      labelNames: ['topic', 'partition'],
      collect: () => {
        for (const state of this.#partitions.values()) {
          const { topic, partition } = state;
          stalled.set({ topic, partition }, this.#stallOf(state).forMs / 1_000);
        }
      },
    });
  }

  #of(topic: string, partition: string): PartitionState {
    const key = `${topic}\u0000${partition}`;
    let state = this.#partitions.get(key);
    if (state === undefined) {
      state = {
        ...{ topic, partition, readingSinceMs: undefined, failingSinceMs: undefined, lastError: '' },
        ...{ emptySinceMs: undefined, lastReadMs: this.#now(), lagRecords: 0 },
      };
      this.#partitions.set(key, state);
    }
    return state;
  }

  /** A read begins. */
  reading(topic: string, partition: string): void {
    this.#of(topic, partition).readingSinceMs = this.#now();
  }

  /** A read has returned `records`, and `lagRecords` are left. */
  read(topic: string, partition: string, records: number, lagRecords: number): void {
    const state = this.#of(topic, partition);
    state.readingSinceMs = undefined;
    state.failingSinceMs = undefined;
    state.lastReadMs = this.#now();
    state.lagRecords = lagRecords;
    if (records > 0 || lagRecords <= 0) state.emptySinceMs = undefined;
    else state.emptySinceMs ??= this.#now();
  }

  failed(topic: string, partition: string, error: unknown): void {
    const state = this.#of(topic, partition);
    state.readingSinceMs = undefined;
    state.failingSinceMs ??= this.#now();
    state.lastError = messageOf(error);
  }

  /** The partition has ended, or is read no more. */
  ended(topic: string, partition: string): void {
    this.#partitions.delete(`${topic}\u0000${partition}`);
  }

  #stallOf(state: PartitionState): Stall {
    const now = this.#now();
    if (state.failingSinceMs !== undefined)
      return { forMs: now - state.failingSinceMs, why: `it cannot be read: ${state.lastError}` };
    if (state.readingSinceMs !== undefined && state.emptySinceMs === undefined)
      return { forMs: now - state.readingSinceMs, why: 'a read does not return' };
    if (state.emptySinceMs === undefined) return MOVES;
    return {
      // Up to the newest read, or the one under way: what came after may be a sink's fault.
      forMs: (state.readingSinceMs === undefined ? state.lastReadMs : now) - state.emptySinceMs,
      why: `reads return nothing although ${state.lagRecords} records wait`,
    };
  }

  /** @param stalledAfterMs - a partition that does not move for so long is stalled */
  health(stalledAfterMs: number): HealthState {
    const down: string[] = [];
    const degraded: string[] = [];
    for (const state of this.#partitions.values()) {
      const { forMs, why } = this.#stallOf(state);
      const name = `${state.topic}[${state.partition}]`;
      if (forMs >= stalledAfterMs) down.push(`${name} has not moved for ${Math.round(forMs / 1_000)} s: ${why}`);
      else if (state.failingSinceMs !== undefined) degraded.push(`${name}: ${why}`);
    }
    if (down.length > 0) return { status: 'down', reason: down.join('; ') };
    return degraded.length > 0 ? { status: 'degraded', reason: degraded.join('; ') } : { status: 'up' };
  }
}

/** The progress of the sources that report to `registry`. */
export const sourceProgressOf = sharedByRegistry((registry) => new SourceProgress(registry));
