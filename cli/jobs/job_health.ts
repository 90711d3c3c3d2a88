import type { TargetStates } from '#connectors/target_states';
import { messageOf } from '#kernel/errors';
import { MINUTE_MS } from '#kernel/time';
import type { HealthState, HealthStatus } from '#monitoring/health';
import type { SourceProgress } from '#pipelines/io/source_progress';
import type { PipelineHandle } from '#pipelines/runner/embedded';

/** A job that began again so often within {@link RESTART_WINDOW_MS} does so in a loop. */
const RESTARTS_OF_A_LOOP = 3;
const RESTART_WINDOW_MS = 5 * MINUTE_MS;

export interface JobParts {
  readonly handle: Pick<PipelineHandle, 'state' | 'restarts' | 'bundleSinceMs'> | undefined;
  readonly targets: Pick<TargetStates, 'health' | 'failing'>;
  readonly sources: Pick<SourceProgress, 'health'>;
}

export interface JobClock {
  /** Of the job, ms since the epoch. */
  readonly nowMs: number;
  /** Of {@link performance.now}. */
  readonly monotonicMs: number;
}

const GRAVITY: readonly HealthStatus[] = ['up', 'starting', 'degraded', 'down'];

/**
 * Returns how a job does: the worst of its life (failed, restarting in a loop), its partitions (one does not move), its sinks (one refuses)
 * and its bundle (it hangs), with every reason.
 *
 * @param stalledAfterMs - what does not move for so long is stalled
 */
export function jobHealth(parts: JobParts, clock: JobClock, stalledAfterMs: number): HealthState {
  const states = [
    lifeOf(parts, clock.nowMs),
    parts.sources.health(stalledAfterMs),
    parts.targets.health(),
    bundleOf(parts, clock.monotonicMs, stalledAfterMs),
  ];
  const status = states.reduce<HealthStatus>(
    (worst, state) => (GRAVITY.indexOf(state.status) > GRAVITY.indexOf(worst) ? state.status : worst),
    'up',
  );
  const reasons = states.flatMap(({ reason }) => reason ?? []);
  return reasons.length === 0 ? { status } : { status, reason: reasons.join('; ') };
}

function lifeOf({ handle }: JobParts, nowMs: number): HealthState {
  if (handle === undefined) return { status: 'starting', reason: 'it has not started' };
  const { state, restarts } = handle;
  const error = restarts.lastError === undefined ? '' : `: ${messageOf(restarts.lastError)}`;
  const recent = restarts.timesMs.filter((atMs) => nowMs - atMs <= RESTART_WINDOW_MS).length;
  if (recent >= RESTARTS_OF_A_LOOP)
    return {
      status: 'down',
      reason: `it restarts in a loop, ${recent} times in the last ${RESTART_WINDOW_MS / MINUTE_MS} minutes${error}`,
    };
  if (restarts.isWaiting) return { status: 'degraded', reason: `it restarts from its newest snapshot${error}` };
  if (recent > 0) return { status: 'degraded', reason: `it restarted ${recent} times in the last minutes${error}` };
  if (state === 'running') return { status: 'up' };
  if (state === 'starting') return { status: 'starting', reason: 'it restores its state' };
  return { status: 'down', reason: `it is ${state}${error}` };
}

/** A bundle that waits for a sink that fails is the sink's problem, which is reported there. */
function bundleOf({ handle, targets }: JobParts, monotonicMs: number, stalledAfterMs: number): HealthState {
  const sinceMs = handle?.bundleSinceMs;
  if (sinceMs === undefined || monotonicMs - sinceMs < stalledAfterMs || targets.failing !== undefined)
    return { status: 'up' };
  return {
    status: 'down',
    reason: `a bundle has not ended for ${Math.round((monotonicMs - sinceMs) / 1_000)} s; what does a transform or sink wait for?`,
  };
}
