import type { EventTime } from '#kernel/time';
import type { RestorePolicy } from '#pipelines/engine/executor';
import type { SavedMetric } from '#pipelines/engine/metrics';
import type { JobStateOf } from '#pipelines/engine/state/job_state';
import type { StateChange } from '#pipelines/engine/state/state_schema';
import type { SnapshotReference } from '../snapshot_parts.ts';
import type { StateOptions } from '../state_options.ts';

/** What one exchange brings a shard in one bundle. */
export interface Delivery {
  readonly exchange: number;
  readonly chunks: readonly Uint8Array[];
  readonly watermark: EventTime;
}

/** Elements that leave a stage of a shard: one entry for each shard they go to. */
export interface Departure {
  readonly exchange: number;
  readonly byShard: readonly (Uint8Array | undefined)[];
}

/** How a stage of a shard stands after a bundle. */
export interface StageReport {
  readonly stage: number;
  readonly isFinished: boolean;
  readonly nextProcessingTime: number | undefined;
  /** Watermark at the exchanges it feeds. */
  readonly exchanges: readonly (readonly [exchange: number, watermark: EventTime])[];
  readonly watermarks: ReadonlyMap<string, number>;
  readonly elements: ReadonlyMap<string, number>;
  readonly metrics: readonly { readonly transform: string; readonly metric: SavedMetric }[];
}

/** What happened since the last report. */
export interface StageEvents {
  readonly droppedLate: readonly string[];
  /** How long transforms took at the end of the bundle; empty unless requested. */
  readonly seconds: readonly (readonly [transform: string, seconds: number])[];
  /** Changes of job states in this bundle, on this shard. */
  readonly changes: readonly JobStateOf<unknown>[];
}

export type ToShard =
  | {
      readonly kind: 'open';
      readonly graph: string;
      readonly snapshot: SnapshotReference | undefined;
      readonly timed: boolean;
      /** Processing time, ms. */
      readonly now: number;
    }
  | {
      readonly kind: 'bundle';
      readonly stage: number;
      readonly now: number;
      readonly deliveries: readonly Delivery[];
      /** Job states of all stages, as of the bundle before. */
      readonly states: readonly JobStateOf<unknown>[];
    }
  | {
      readonly kind: 'snapshot';
      readonly sequence: number;
      readonly states: readonly JobStateOf<unknown>[];
      readonly isDrained: boolean;
    }
  | { readonly kind: 'commit' }
  | { readonly kind: 'close' };

export type FromShard =
  | {
      readonly kind: 'opened';
      readonly reports: readonly StageReport[];
      /** As restored: the same on every shard. */
      readonly states: readonly JobStateOf<unknown>[];
      /** What the restore did not take over as it was. */
      readonly changes: readonly StateChange[];
    }
  | {
      readonly kind: 'bundle';
      readonly departures: readonly Departure[];
      readonly report: StageReport;
      readonly events: StageEvents;
    }
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly failure: ShardFailure };

/** An error on its way to another thread. */
export interface ShardFailure {
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

/** The way to a shard and back. */
export interface ShardChannel {
  post(message: ToShard, transfer: readonly ArrayBuffer[]): void;
  onMessage(listener: (message: FromShard) => void): void;
  /** The shard is gone without being asked. */
  onLost(listener: (reason: string) => void): void;
  close(): Promise<void>;
}

/** What a shard needs to exist. */
export interface ShardSpec {
  readonly shard: number;
  readonly shards: number;
  readonly snapshotDirectory: string | undefined;
  readonly strict: boolean;
  readonly restore: RestorePolicy | undefined;
  readonly state: StateOptions | undefined;
}

export type LaunchShard = (spec: ShardSpec) => ShardChannel;
