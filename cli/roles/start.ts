import type { RunningServices } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { ensureInitialModels } from '../project/initial_models.ts';
import { checkListeners } from '../project/production.ts';
import type { Project } from '../project/project.ts';
import type { Role } from '../terminal/choices.ts';
import { shutDown, shutdownRequested } from '../terminal/shutdown.ts';
import { startPlatform } from './platform.ts';
import { isServingWorker, reportReady, runServingWorkers, stopRequested } from './serving_workers.ts';

const LABELS: Readonly<Record<Role, string>> = {
  gateway: 'ingestion gateway',
  features: 'feature API',
  serving: 'model serving',
  pipeline: 'pipeline health and metrics',
  monitor: 'drift and quality of models',
};

/** Runs the platform until SIGINT or SIGTERM, then drains it. */
export async function start(config: Project, roles: readonly Role[]): Promise<void> {
  if (config.production) checkListeners(config, roles);
  if (config.serving.workers > 1 && !isServingWorker()) return runServingWorkers(config, roles);
  const log = createLogger({ level: config.log.level });
  const requested = isServingWorker() ? stopRequested() : shutdownRequested();
  const { services, urls }: { services: RunningServices; urls: Readonly<Partial<Record<Role, string>>> } =
    await startPlatform(config, log, roles, ensureInitialModels(config, roles));
  if (isServingWorker()) {
    reportReady(urls.serving as string);
    await requested;
    await shutDown(services, log, config.drainTimeoutMs);
    // The way to the process that has started this one would keep it.
    process.disconnect?.();
    return;
  }
  for (const role of roles) process.stdout.write(`${LABELS[role].padEnd(28)} ${urls[role]}\n`);
  process.stdout.write('ready; Ctrl-C drains and stops\n');
  const signal = await requested;
  process.stdout.write(`${signal}: draining\n`);
  await shutDown(services, log, config.drainTimeoutMs);
}
