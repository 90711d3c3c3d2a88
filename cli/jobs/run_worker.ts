import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { whenParentIsGone } from '#kernel/workers/parent_process';
import { Worker } from '#pipelines/harness/worker';
import { type LaunchWorker, type PoolTls, WorkerPool } from '#pipelines/harness/worker_pool';
import { endpointsOf } from '#pipelines/harness/worker_status';
import { shutdownRequested } from '../terminal/shutdown.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { openPipeline } from './pipeline_modules.ts';
import { pairsOf } from './runner_options.ts';

export interface WorkerSettings {
  readonly option: readonly string[];
  readonly listen?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly id?: string;
  readonly control_endpoint?: string;
  readonly logging_endpoint?: string;
  readonly provision_endpoint?: string;
}

/**
 * `headwater pipelines worker PIPELINE`: a pool for a runner's task managers (`--listen`), which starts a process for each worker that is requested, or, as the entry point of a
 * container or process, the one worker that a runner has requested (`--id`, `--provision_endpoint`).
 */
export async function runWorker(pipeline: string, settings: WorkerSettings): Promise<void> {
  const { listen } = settings;
  if (listen !== undefined) await servePool(pipeline, listen, settings);
  else await runOne(pipeline, settings);
}

async function servePool(pipeline: string, listen: string, settings: WorkerSettings): Promise<void> {
  const at = listen.lastIndexOf(':');
  const [host, port] = [listen.slice(0, at), listen.slice(at + 1)];
  if (host === '' || !/^\d+$/.test(port)) throw new UsageError(`--listen is host:port, not "${listen}"`);
  // A pipeline that cannot be built is an error of the pool's start, not of each worker.
  await (await openPipeline({ name: pipeline, options: pairsOf(settings.option) })).close();
  const tls = await tlsOf(settings);
  const launch = workerProcesses(pipeline, settings.option);
  const pool = await WorkerPool.start({ launch, host, port: Number(port), ...(tls === undefined ? {} : { tls }) });
  process.stdout.write(`workers for ${pipeline} on ${pool.address}\n`);
  await shutdownRequested();
  await pool.stop();
}

async function tlsOf({ tlsCert, tlsKey, tlsClientCa }: WorkerSettings): Promise<PoolTls | undefined> {
  if (tlsCert === undefined && tlsKey === undefined && tlsClientCa === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined || tlsClientCa === undefined) {
    throw new UsageError('TLS of a pool needs --tls-cert, --tls-key and --tls-client-ca together');
  }
  const [certificate, key, clientAuthority] = await Promise.all([tlsCert, tlsKey, tlsClientCa].map((f) => readFile(f)));
  return { certificate, key, clientAuthority } as PoolTls;
}

const STOP_WITHIN_MS = 10_000;

/** Workers as processes of this command: as many cores are busy as the runner requests workers (`sdk_worker_parallelism`). */
function workerProcesses(pipeline: string, options: readonly string[]): LaunchWorker {
  return ({ id, controlUrl, loggingUrl, provisionUrl }) => {
    const endpoints = {
      id,
      control_endpoint: controlUrl,
      logging_endpoint: loggingUrl,
      provision_endpoint: provisionUrl,
    };
    const child = spawn(
      process.execPath,
      [
        ...[...process.execArgv, process.argv[1] as string, 'pipelines', 'worker', pipeline],
        ...options.flatMap((option) => ['--option', option]),
        ...Object.entries(endpoints).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`])),
      ],
      // The channel ends with this process, and with it the worker.
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    );
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', (error) => {
        process.stderr.write(`worker ${id} did not start: ${error.message}\n`);
        resolve();
      });
    });
    return {
      async stop() {
        child.kill('SIGTERM');
        await Promise.race([ended, sleep(STOP_WITHIN_MS, undefined, { ref: false })]);
        child.kill('SIGKILL');
      },
    };
  };
}

async function runOne(pipeline: string, settings: WorkerSettings): Promise<void> {
  const { id, provision_endpoint: provisionUrl } = settings;
  const provisioned = id === undefined || provisionUrl === undefined ? undefined : await endpointsOf(provisionUrl, id);
  const controlUrl = settings.control_endpoint ?? provisioned?.control;
  const loggingUrl = settings.logging_endpoint ?? provisioned?.logging;
  if (id === undefined || controlUrl === undefined) {
    throw new UsageError(
      'give --listen host:port for a pool; a runner gives --id and --provision_endpoint, or --control_endpoint, for one worker',
    );
  }
  const { construct, close } = await openPipeline({ name: pipeline, options: pairsOf(settings.option) });
  try {
    const worker = new Worker({
      ...{ id, controlUrl, construct },
      ...(loggingUrl === undefined ? {} : { loggingUrl }),
      ...(provisionUrl === undefined ? {} : { provisionUrl }),
    });
    await Promise.race([worker.finished, shutdownRequested(), poolEnded()]);
    await worker.stop();
  } finally {
    await close();
  }
}

/** Resolves when the pool that has started this process is gone. */
const poolEnded = (): Promise<void> =>
  new Promise((resolve) => {
    whenParentIsGone(resolve);
  });
