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

/** Drains within `deadlineMs`, then releases everything whatever the drain's outcome. */
export async function shutDown(services: RunningServices, log: Logger, deadlineMs: number): Promise<void> {
  const startedMs = Date.now();
  log.info({ deadlineMs }, 'platform.draining');
  try {
    await services.drain(AbortSignal.timeout(deadlineMs));
  } catch (error) {
    log.error({ error }, 'platform.drain_failed');
  }
  await services[Symbol.asyncDispose]();
  log.info({ elapsedMs: Date.now() - startedMs }, 'platform.stopped');
}
