import { withinDeadline } from '#kernel/deadline';
import { DeadlineExceededError } from '#kernel/errors';
import type { RunningServices } from '#kernel/lifecycle';
import type { Logger } from '#monitoring/log';

/** Resolves with the name of the first SIGINT or SIGTERM; a second one ends the process at once. */
export function shutdownRequested(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let requested = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (requested) process.exit(130);
      requested = true;
      resolve(signal);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}

/** Stopping is quick, or something hangs. */
const STOP_MS = 15_000;
/** A drain whose time is up ends on its own. */
const GRACE_MS = 1_000;

/**
 * Drains within `deadlineMs`, then releases everything whatever the drain's outcome.
 *
 * @throws {@link DeadlineExceededError} with the service that does not stop: the process has to be ended then
 */
export async function shutDown(services: RunningServices, log: Logger, deadlineMs: number): Promise<void> {
  const startedMs = Date.now();
  log.info({ deadlineMs }, 'platform.draining');
  try {
    await withinDeadline('draining', deadlineMs + GRACE_MS, services.drain(AbortSignal.timeout(deadlineMs)));
  } catch (error) {
    log.error({ error }, 'platform.drain_failed');
  }
  const stopping = services[Symbol.asyncDispose]();
  await withinDeadline('stopping', STOP_MS, stopping).catch((error: unknown) => {
    log.error({ error, notStopped: services.running }, 'platform.stop_failed');
    throw new DeadlineExceededError(`stopping ${services.running.at(-1)}`, STOP_MS);
  });
  log.info({ elapsedMs: Date.now() - startedMs }, 'platform.stopped');
}
