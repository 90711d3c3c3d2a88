import { type ChildProcess, spawn } from 'node:child_process';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '#configs/environment';
import { PlatformError } from '#kernel/errors';
import type { OptionValue } from './job_client.ts';

/** Dataflow cannot be asked to run a job: its job service is missing or refused to start. */
export class DataflowUnavailableError extends PlatformError {
  readonly code = 'PIPELINE_DATAFLOW_UNAVAILABLE';

  constructor(message: string, cause?: unknown) {
    super(message, { fault: 'dependency', retryable: false, cause });
  }
}

export interface DataflowSettings {
  readonly project: string;
  readonly region: string;
  /** gs:// folder for staged files. */
  readonly tempLocation: string;
}

export interface DataflowJobService {
  readonly jobEndpoint: string;
  readonly runnerOptions: Readonly<Record<string, OptionValue>>;
  stop(): void;
}

const MODULE = 'apache_beam.runners.dataflow.dataflow_job_service';
const READY_WITHIN_MS = 60_000;

/**
 * Starts the job service that Beam's Python package has for Dataflow (`pip install 'apache-beam[gcp]'`), as apache-beam's own
 * TypeScript runner does. Credentials are Google's application default ones.
 *
 * @throws {@link DataflowUnavailableError} when Python or the package is missing
 */
export async function startDataflowJobService(
  { project, region, tempLocation }: DataflowSettings,
  python = environment().HEADWATER_PYTHON ?? 'python3',
): Promise<DataflowJobService> {
  const port = await freePort();
  const child = spawn(python, ['-m', MODULE, '--port', String(port)], { stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-2_000);
  });
  await untilReady(child, port, () => output, python);
  return {
    jobEndpoint: `127.0.0.1:${port}`,
    runnerOptions: {
      project,
      region,
      temp_location: tempLocation,
      streaming: true,
      experiments: ['use_runner_v2', 'use_sibling_sdk_workers'],
    },
    stop: () => void child.kill(),
  };
}

async function untilReady(child: ChildProcess, port: number, output: () => string, python: string): Promise<void> {
  let ended: string | undefined;
  child.on('error', (error) => {
    ended = error.message;
  });
  child.on('exit', (code) => {
    ended ??= `it ended with code ${code}: ${output().trim().split('\n').at(-1) ?? ''}`;
  });
  for (const giveUpAt = Date.now() + READY_WITHIN_MS; Date.now() < giveUpAt; await sleep(200)) {
    if (ended !== undefined) break;
    if (await accepts(port)) return;
  }
  child.kill();
  throw new DataflowUnavailableError(
    `the Dataflow job service (${python} -m ${MODULE}) did not start: ${ended ?? 'it did not answer in time'}. Install it with: pip install 'apache-beam[gcp]'`,
  );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('close', () => {});
    setTimeout(() => socket.destroy(), 500).unref();
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
