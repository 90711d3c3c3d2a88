import { createHash } from 'node:crypto';
import { keyIdOf } from '#kernel/keys/key_codec';
import { type EventTime, eventTime } from '#kernel/time';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import { RestTracker } from '#pipelines/engine/splitting/rest_tracker';
import {
  type ProcessContinuation,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splitting/splittable';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { named, parDoSplittable, windowInto } from '#pipelines/model/transforms';
import { globalWindows } from '#pipelines/model/windows/windowing';

/** What a poll has found. */
export interface PollResult<Out> {
  /** All outputs that there are; those that earlier polls have found are left out. `timestamp`: event time, ms; by default when the poll began. */
  readonly outputs: Iterable<{ readonly value: Out; readonly timestamp?: number }>;
  /** No later output is older, event time in ms. By default when the poll began, if no output has a timestamp of its own; otherwise it stays where it was. */
  readonly watermark?: number;
  /** There will be no more outputs for this input. */
  readonly isComplete?: boolean;
}

/** What polls inputs for new outputs, how often, and when watching ends. */
export interface WatchSettings<In, Out> {
  /** @throws retryable PlatformErrors are tried again; other errors fail the job */
  readonly poll: (input: In, signal: AbortSignal) => PollResult<Out> | Promise<PollResult<Out>>;
  readonly intervalMs: number;
  /** Ends watching an input so long after its first poll, ms. */
  readonly endAfterMs?: number;
  /** Ends watching an input when there was nothing new for so long, ms. */
  readonly endAfterNothingNewMs?: number;
  /** What makes outputs the same. Default: the output itself. */
  readonly keyOf?: (output: Out) => unknown;
  readonly name?: string;
  readonly now?: () => number;
}

/** What was found of an input. Plain data, for snapshots. */
interface Growth {
  /** Hashes of outputs. */
  readonly seen: readonly string[];
  readonly beganMs?: number;
  readonly newestFindMs?: number;
}

/**
 * Polls each input for outputs, and emits those that are new, with their input (Beam's Watch.growthOf): files of a folder, pages of an API. Outputs are in the global window; windows of the inputs do not
 * matter. A snapshot keeps 22 bytes of each output that was found.
 *
 * @throws InvalidPipelineError for an interval that is no positive number
 */
export function watch<In, Out>(
  settings: WatchSettings<In, Out>,
): PTransform<PCollection<In>, PCollection<KV<In, Out>>> {
  const { name = 'Watch', intervalMs } = settings;
  if (!(intervalMs > 0 && Number.isFinite(intervalMs))) {
    throw new InvalidPipelineError(`transform "${name}": intervalMs is ${intervalMs}: give milliseconds, more than 0`);
  }
  return named(name, (input: PCollection<In>) =>
    input
      .apply(windowInto<In>({ windowFn: globalWindows() }, 'Global'))
      .apply(parDoSplittable(new WatchFn(settings), 'Poll')),
  );
}

class WatchFn<In, Out> implements SplittableDoFn<In, KV<In, Out>, Growth, Growth> {
  readonly splittable = true;
  readonly bounded = false;
  readonly #settings: WatchSettings<In, Out>;
  readonly #now: () => number;

  constructor(settings: WatchSettings<In, Out>) {
    this.#settings = settings;
    this.#now = settings.now ?? Date.now;
  }

  initialRestrictions(): readonly Growth[] {
    return [{ seen: [] }];
  }

  createTracker(growth: Growth): RestTracker<Growth> {
    return new RestTracker(growth);
  }

  async process(
    input: In,
    growth: Growth,
    tracker: RestTracker<Growth>,
    context: SplittableContext<KV<In, Out>, Growth>,
  ): Promise<ProcessContinuation> {
    const {
      poll,
      intervalMs,
      endAfterMs,
      endAfterNothingNewMs,
      keyOf = (output: Out): unknown => output,
    } = this.#settings;
    const now = this.#now();
    const { outputs, watermark, isComplete = false } = await poll(input, context.signal);
    const seen = new Set(growth.seen);
    let hasTimes = false;
    for (const { value, timestamp } of outputs) {
      if (timestamp !== undefined) hasTimes = true;
      const hash = hashOf(keyOf(value));
      if (seen.has(hash)) continue;
      seen.add(hash);
      context.output({ key: input, value }, (timestamp ?? now) as EventTime);
    }
    const isNew = seen.size > growth.seen.length;
    const { beganMs = now, newestFindMs = now } = growth;
    const rest: Growth = {
      seen: isNew ? [...seen] : growth.seen,
      beganMs,
      newestFindMs: isNew ? now : newestFindMs,
    };
    const isOver =
      (endAfterMs !== undefined && now - beganMs >= endAfterMs) ||
      (endAfterNothingNewMs !== undefined && now - (rest.newestFindMs ?? now) >= endAfterNothingNewMs);
    if (isComplete || isOver) return STOP;
    if (watermark !== undefined) context.advanceWatermark(eventTime(watermark));
    else if (!hasTimes) context.advanceWatermark(eventTime(now));
    tracker.tryClaim(rest);
    return resumeAfter(intervalMs);
  }
}

/** 128 bits: as Beam's Watch, which takes outputs of one hash as the same. */
function hashOf(key: unknown): string {
  const keyId = keyIdOf(key);
  return createHash('sha256')
    .update(`${typeof keyId}:${String(keyId)}`)
    .digest('base64url')
    .slice(0, 22);
}
