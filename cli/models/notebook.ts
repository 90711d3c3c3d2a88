import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '#configs/environment';
import { assetPath } from '#kernel/project_root';
import { SECOND_MS } from '#kernel/time';
import { type Duration, durationMs } from '#kernel/times/duration';
import { createLogger } from '#monitoring/log';
import { PYTHON_TRAINERS, runPython, virtualEnvironment } from '#registry/trainers/python_environment';
import { projectFolder } from '../project/loading/find_project.ts';
import { loadSettings } from '../project/project.ts';
import { print } from '../terminal/print.ts';

const HOST = '127.0.0.1';
const READY_POLL_MS = 300;
const TOKEN_BYTES = 24;

/**
 * `headwater notebooks start`: JupyterLab in the project's folder, on this machine alone, until SIGTERM or an idle time of `idle`. Kernels that compute nothing are ended
 * after the same time, with a browser that is still open too.
 *
 * @throws {@link TrainingError} when Python is missing, a package cannot be had, or JupyterLab fails
 */
export async function startNotebooks({
  port,
  idle,
}: {
  readonly port: number;
  readonly idle: Duration;
}): Promise<void> {
  const log = createLogger({ level: 'info' });
  const { registry } = loadSettings();
  const onLine = (line: string): void => void process.stderr.write(`${line}\n`);
  const { PYTHON: python } = environment();
  const requirements = assetPath(`${PYTHON_TRAINERS}/notebook_requirements.txt`);
  const interpreter = await virtualEnvironment(requirements, { onLine, python });
  const token = randomBytes(TOKEN_BYTES).toString('hex');
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort());
  const running = runPython(interpreter, ['-m', 'jupyterlab', ...settingsOf({ port, idle })], {
    ...{ onLine, signal: stopped.signal },
    env: {
      JUPYTER_TOKEN: token,
      ...(registry.kind === 'mlflow' ? { MLFLOW_TRACKING_URI: registry.trackingUri } : {}),
    },
  });
  const ended = running.then(
    () => log.info({ idle }, 'notebooks.idle_stopped'),
    (error: unknown) => {
      if (!stopped.signal.aborted) throw error;
    },
  );
  const waiting = new AbortController();
  await Promise.race([ended, announce(`http://${HOST}:${port}`, token, waiting.signal)]);
  await ended.finally(() => waiting.abort());
}

const settingsOf = ({ port, idle }: { readonly port: number; readonly idle: Duration }): readonly string[] => {
  const seconds = Math.max(1, Math.round(durationMs(idle) / SECOND_MS));
  return [
    ...['--no-browser', `--ServerApp.ip=${HOST}`, `--ServerApp.port=${port}`, '--ServerApp.port_retries=0'],
    ...[`--ServerApp.root_dir=${projectFolder()}`, `--ServerApp.shutdown_no_activity_timeout=${seconds}`],
    ...[`--MappingKernelManager.cull_idle_timeout=${seconds}`, '--MappingKernelManager.cull_connected=True'],
    `--MappingKernelManager.cull_interval=${Math.max(1, Math.round(seconds / 10))}`,
    // It is reached from this machine alone, with a token.
    ...(process.getuid?.() === 0 ? ['--allow-root'] : []),
  ];
};

/** Prints the address once it answers. */
async function announce(url: string, token: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const answer = await fetch(`${url}/api`, { signal }).catch(() => undefined);
    if (answer?.ok === true) {
      print(`${url}/lab?token=${token}`);
      return;
    }
    await sleep(READY_POLL_MS, undefined, { signal }).catch(() => {});
  }
}
