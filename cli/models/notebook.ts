import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '#configs/environment';
import { createFileSystems } from '#connectors/files/file_systems';
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
  const interpreter = await notebookEnvironment();
  const token = randomBytes(TOKEN_BYTES).toString('hex');
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort());
  const running = runPython(interpreter, ['-m', 'jupyterlab', ...settingsOf({ port, idle })], {
    ...{ onLine, signal: stopped.signal },
    env: { JUPYTER_TOKEN: token, ...registryVariables() },
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

const onLine = (line: string): void => void process.stderr.write(`${line}\n`);

/** Returns the interpreter of the environment that notebooks run in. */
const notebookEnvironment = (): Promise<string> =>
  virtualEnvironment(assetPath(`${PYTHON_TRAINERS}/notebook_requirements.txt`), {
    ...{ onLine, python: environment().PYTHON },
  });

/** How notebooks find the registry. */
function registryVariables(): Readonly<Record<string, string>> {
  const { registry } = loadSettings();
  return registry.kind === 'mlflow' ? { MLFLOW_TRACKING_URI: registry.trackingUri } : {};
}

export interface RunNotebookOptions {
  readonly out: string;
  readonly timeout: number;
}

/**
 * `headwater notebooks run FILE`: every cell in order, in the file's folder; the notebook stays as it is.
 *
 * @throws {@link TrainingError} when a cell fails or takes longer than `timeout` seconds: nothing is written then
 */
export async function runNotebook(notebook: string, { out, timeout }: RunNotebookOptions): Promise<void> {
  const interpreter = await notebookEnvironment();
  const folder = await mkdtemp(join(tmpdir(), 'notebook-'));
  try {
    const to = ['--to', 'html', '--output', 'notebook', '--output-dir', folder];
    const limits = ['--execute', `--ExecutePreprocessor.timeout=${timeout}`];
    const args = ['-m', 'nbconvert', ...to, ...limits, resolve(notebook)];
    await runPython(interpreter, args, { onLine, env: registryVariables() });
    const path = out.replaceAll('{date}', new Date().toISOString().slice(0, 10));
    await createFileSystems()(path).write(path, await readFile(join(folder, 'notebook.html')));
    print(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
