import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { whenParentIsGone } from '#kernel/workers/parent_process';
import { createLogger } from '#monitoring/log';
import { answerWithAllMetrics } from '#monitoring/worker_metrics';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import type { Role } from '../terminal/choices.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { shutdownRequested } from '../terminal/shutdown.ts';

// API_WORKERS: several processes behind one port, which the operating system deals connections to.

const READY = 'headwater:ready';
const STOP = 'headwater:stop';
const RESTART_AFTER_MS = 500;

interface Ready {
  readonly type: typeof READY;
  readonly url: string;
}

/** @throws {@link CommandFailedError} for what several processes cannot share */
function checkShareable({ offlineStore, onlineStore, broker }: PlatformConfig, roles: readonly Role[]): void {
  if (roles.some((role) => role !== 'serving')) {
    throw new CommandFailedError(
      'API_WORKERS is for processes that only serve: start the other roles elsewhere, and this one with --role serving',
    );
  }
  const own = [offlineStore.kind, onlineStore.kind, broker.kind].filter(
    (kind) => kind === 'pglite' || kind === 'memory' || kind === 'disk_log',
  );
  if (own.length > 0) {
    throw new CommandFailedError(
      `API_WORKERS needs stores and a broker that processes share (ENVIRONMENT=services), not ${own.join(', ')}`,
    );
  }
}

/** Starts the workers and keeps so many running until it receives the signal to stop; then they drain. */
export async function runServingWorkers(config: PlatformConfig, roles: readonly Role[]): Promise<void> {
  checkShareable(config, roles);
  const log = createLogger({ level: config.log.level });
  const { workers } = config.serving;
  answerWithAllMetrics();
  const requested = shutdownRequested();
  let stopping = false;
  const startOne = async (): Promise<string> => {
    const worker = cluster.fork();
    const url = await new Promise<string>((resolve, reject) => {
      worker.on('message', (message: Ready) => message.type === READY && resolve(message.url));
      worker.once('exit', (code) => reject(new Error(`a worker ended with code ${code} before it was ready`)));
    });
    log.info({ pid: worker.process.pid }, 'worker.ready');
    worker.once('exit', (code, signal) => {
      if (stopping) return;
      log.error({ pid: worker.process.pid, code, signal }, 'worker.lost');
      void again();
    });
    return url;
  };
  const again = async (): Promise<void> => {
    await sleep(RESTART_AFTER_MS);
    if (stopping) return;
    await startOne().catch((error: unknown) => {
      log.error({ error }, 'worker.not_started');
      return again();
    });
  };
  const [url] = await Promise.all(Array.from({ length: workers }, startOne));
  print(`${'model serving'.padEnd(28)} ${url}`);
  print(`ready; ${workers} workers; Ctrl-C drains and stops`);
  const signal = await requested;
  print(`${signal}: draining`);
  stopping = true;
  await Promise.all(Object.values(cluster.workers ?? {}).map((worker) => stopOne(worker as Worker)));
}

async function stopOne(worker: Worker): Promise<void> {
  const ended = once(worker, 'exit');
  if (worker.isConnected()) worker.send({ type: STOP });
  await ended;
}

export const isServingWorker = (): boolean => cluster.isWorker;

/** Says that this worker takes requests. */
export const reportReady = (url: string): void => void process.send?.({ type: READY, url } satisfies Ready);

/** Resolves when the process that has started this one stops it, or is gone. Ctrl-C reaches that one as well. */
export function stopRequested(): Promise<string> {
  process.on('SIGINT', () => {});
  return new Promise((resolve) => {
    process.on('message', (message: { type?: string }) => message.type === STOP && resolve('stop'));
    whenParentIsGone(() => resolve('disconnect'));
    process.once('SIGTERM', () => resolve('SIGTERM'));
  });
}
