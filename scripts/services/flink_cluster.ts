import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flinkJars, flinkJava, startJobServer } from './beam_runners.ts';
import { freePort, type RunningServer, type StartedProcess, startProcess } from './managed_process.ts';

export interface FlinkClusterOptions {
  /** Default 2. */
  readonly taskManagers?: number;
  /** Of each task manager; default 4, so that one of two runs a job of parallelism 4 alone. */
  readonly slots?: number;
}

/** A session cluster of Flink with Beam's job server before it: each part is a process of its own, which a test may kill. */
export interface FlinkCluster extends RunningServer {
  /** host:port of Beam's job service. */
  readonly jobEndpoint: string;
  /** Of the JobManager's REST API. */
  readonly restUrl: string;
  readonly jobManager: StartedProcess;
  readonly taskManagers: readonly StartedProcess[];
  readonly jobServer: StartedProcess;
}

/** A dead task manager is missed after some seconds, not after a minute. */
const HEARTBEAT = {
  'heartbeat.interval': '2000',
  'heartbeat.timeout': '20000',
  'heartbeat.rpc-failure-threshold': '1',
};

/** Every memory setting that a task manager requires when no script computes them for it. */
const MEMORY = {
  'jobmanager.memory.process.size': '1g',
  'taskmanager.cpu.cores': '2',
  'taskmanager.memory.task.heap.size': '384m',
  'taskmanager.memory.task.off-heap.size': '64m',
  'taskmanager.memory.managed.size': '64m',
  'taskmanager.memory.network.min': '64m',
  'taskmanager.memory.network.max': '64m',
  'taskmanager.memory.framework.heap.size': '128m',
  'taskmanager.memory.framework.off-heap.size': '64m',
  'taskmanager.memory.jvm-metaspace.size': '256m',
  'taskmanager.memory.jvm-overhead.min': '64m',
  'taskmanager.memory.jvm-overhead.max': '64m',
};

/** Starts a JobManager, task managers and Beam's job server from Maven's jars, on free local ports; checkpoints and savepoints lie in `folder`. */
export async function startFlinkCluster(folder: string, options: FlinkClusterOptions = {}): Promise<FlinkCluster> {
  const { taskManagers: count = 2, slots = 4 } = options;
  const [rpcPort, restPort, blobPort] = [await freePort(), await freePort(), await freePort()];
  const settings = {
    'jobmanager.rpc.address': '127.0.0.1',
    'jobmanager.rpc.port': rpcPort,
    'jobmanager.bind-host': '127.0.0.1',
    'rest.address': '127.0.0.1',
    'rest.bind-address': '127.0.0.1',
    'rest.port': restPort,
    'blob.server.port': blobPort,
    'taskmanager.host': '127.0.0.1',
    'taskmanager.bind-host': '127.0.0.1',
    'taskmanager.numberOfTaskSlots': slots,
    'state.checkpoints.dir': `file://${join(folder, 'checkpoints')}`,
    'state.savepoints.dir': `file://${join(folder, 'savepoints')}`,
    'io.tmp.dirs': join(folder, 'tmp'),
    // Beam's classes are on the cluster's class path already.
    'classloader.resolve-order': 'parent-first',
    ...HEARTBEAT,
    ...MEMORY,
  };
  const config = join(folder, 'conf');
  await mkdir(config, { recursive: true });
  await mkdir(join(folder, 'tmp'), { recursive: true });
  const lines = Object.entries(settings).map(([key, value]) => `${key}: ${value}\n`);
  await writeFile(join(config, 'flink-conf.yaml'), lines.join(''));
  await flinkJars();
  const start = (name: string, main: string, heap: string, isReady: () => Promise<boolean>): Promise<StartedProcess> =>
    startProcess({
      ...{ name, command: 'java', args: [`-Xmx${heap}`, ...flinkJava(), main, '--configDir', config] },
      ...{ logFile: join(folder, `${name}.log`), isReady, readyWithinMs: 300_000 },
    });
  const restUrl = `http://127.0.0.1:${restPort}`;
  const overview = async (): Promise<{ readonly taskmanagers: number }> =>
    (await fetch(`${restUrl}/overview`)).json() as Promise<{ taskmanagers: number }>;
  const started: StartedProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const process of started.splice(0).reverse()) await process.stop();
  };
  try {
    const jobManager = await start('jobmanager', JOB_MANAGER, '512m', async () => (await overview()).taskmanagers >= 0);
    started.push(jobManager);
    const isJoined = async (): Promise<boolean> => (await overview()).taskmanagers >= count;
    const taskManagers = await Promise.all(
      Array.from({ length: count }, (_, nth) => start(`taskmanager-${nth + 1}`, TASK_MANAGER, '512m', isJoined)),
    );
    started.push(...taskManagers);
    const { server: jobServer, jobEndpoint } = await startJobServer(folder, `127.0.0.1:${restPort}`);
    started.push(jobServer);
    const env = { TEST_FLINK_CLUSTER_REST_URL: restUrl, TEST_FLINK_CLUSTER_JOB_ENDPOINT: jobEndpoint };
    const { kill, restart, pause } = jobManager;
    return { jobEndpoint, restUrl, jobManager, taskManagers, jobServer, env, stop, kill, restart, pause };
  } catch (error) {
    await stop();
    throw error;
  }
}

const JOB_MANAGER = 'org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint';
const TASK_MANAGER = 'org.apache.flink.runtime.taskexecutor.TaskManagerRunner';
