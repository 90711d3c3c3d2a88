import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isMap, parseAllDocuments, visit } from 'yaml';
import { messageOf } from '#kernel/errors';
import { assetPath } from '#kernel/project_root';
import { startKeda } from './autoscaling/keda.ts';
import { LOADS, underLoad } from './autoscaling/load.ts';
import { MetricsApi } from './autoscaling/metrics_api.ts';
import { PodsAsProcesses } from './autoscaling/pods_as_processes.ts';
import { startPrometheus } from './autoscaling/prometheus.ts';
import { endChecks, record, say } from './checking/counted_checks.ts';
import { startApiServer } from './deployment/api_server.ts';
import { bindFiles } from './deployment/check_steps_on_nodes.ts';
import { builtWithKeda, prepareCluster } from './deployment/cluster.ts';
import { startNodes } from './deployment/kwok_nodes.ts';
import * as tools from './deployment/tools.ts';
import { startServers } from './services/start_all.ts';

// npm run check:autoscaling [-- workflows|serving|gateway]: the production overlay with KEDA in a cluster whose API server, controllers, scheduler and KEDA are the real ones. Steps of a workflow wait for longer than one
// worker takes them; Prometheus sees it, KEDA reports it, replicas go up, and down again once nothing waits.
// Requests to serving and to the gateway take processor time; an API of resource metrics reports it, and replicas follow. Each pod of these workloads is a real process on this machine (PodsAsProcesses).

const STEPS = 60;
const STEP_S = 3;
const LOOK_MS = 2_000;
const VOLUMES = 12;
/** A process gets less than production's half a core on a machine of two that others use as well; autoscalers hold what it uses against this. */
const REQUESTED = 'cpu=250m';
/** The controllers look more often than every 15 s, and wait less than five minutes before they take pods away. */
const MANAGER = [
  '--horizontal-pod-autoscaler-sync-period=3s',
  '--horizontal-pod-autoscaler-downscale-stabilization=10s',
];
const PROMETHEUS = 'http://prometheus-operated.headwater:9090';

const only = process.argv[2];
const folder = await mkdtemp(join(tmpdir(), 'headwater-autoscaling-'));
const stops: (() => Promise<void>)[] = [];
try {
  await checkAutoscaling();
} finally {
  for (const stop of stops.reverse()) await stop().catch((error) => say(messageOf(error)));
  await rm(folder, { recursive: true, force: true });
}
endChecks();
process.exit();

/** Records a check with what it has found. */
async function check(what: string, work: () => Promise<string>): Promise<void> {
  await work().then(
    (found) => record(`${what}: ${found}`, true),
    (error) => record(what, false, messageOf(error)),
  );
}

async function checkAutoscaling(): Promise<void> {
  const [binaries, keda, kwok] = [await tools.kubernetesBinaries(), await tools.kedaBinaries(), await tools.kwok()];
  const [kustomize, definitions] = [await tools.kustomizeBinary(), await tools.customResources()];
  const servers = await startServers(['postgres', 'prometheus', 'kafka', 'redis', 'mlflow']);
  stops.push(() => servers.stop());
  if (servers.failures.length > 0) throw new Error(servers.failures.join('\n'));
  const prometheus = await startPrometheus(folder);
  stops.push(() => prometheus.stop());

  const api = await startApiServer(folder, binaries);
  stops.push(() => api.stop());
  const kubectl = (...args: readonly string[]) => api.kubectl('--namespace', 'headwater', ...args);
  await prepareCluster(kubectl, definitions);
  await bindFiles(api.kubectl, folder);
  await makeVolumes(kubectl);
  const names = ['one', 'two', 'three', 'four', 'five', 'six'];
  const nodes = await startNodes(api, folder, binaries, kwok, names, MANAGER);
  stops.push(() => nodes.stop());
  const operator = await startKeda(api, folder, nodes.kubeconfig, keda);
  stops.push(() => operator.stop());
  const manifests = join(folder, 'production.yaml');
  const text = (await builtWithKeda(kustomize, folder)).replaceAll(PROMETHEUS, prometheus.url);
  await writeFile(manifests, text);
  await makeSecrets(kubectl, text);
  await kubectl('apply', '--server-side', '-f', manifests);

  const env = await makeProject(servers.env);
  const headwater = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], { env })).stdout;
  const pods = (component: string, args: readonly string[], portVariable: string): PodsAsProcesses => {
    const isWorker = component === 'workflows';
    const workload = {
      ...{ component, args, portVariable },
      // Workers share their files; others have a volume each.
      env: (pod: string) => (isWorker ? env : { ...env, DATA_DIRECTORY: join(folder, 'volumes', pod) }),
    };
    const made = new PodsAsProcesses(api, workload, async (urls) => {
      if (isWorker) await prometheus.look(urls);
    });
    stops.push(() => made.stop());
    return made;
  };
  const replicasOf = async (workload: string): Promise<number> =>
    Number(await kubectl('get', workload, '-o', 'jsonpath={.spec.replicas}'));

  await check('KEDA makes an autoscaler of each of its objects', async () => {
    const made = await until(60, async () => {
      const list = await kubectl('get', 'hpa', '-o', 'jsonpath={.items[*].metadata.name}');
      return list.split(' ').filter((name) => name.startsWith('keda-hpa-')).length === 3 ? list : undefined;
    });
    return made.replaceAll(' ', ', ');
  });
  if (only === undefined || only === 'workflows') {
    const workers = pods('workflows', ['workflows', 'worker'], 'WORKFLOWS_PORT');
    await checkWorkflows(workers, headwater, () => replicasOf('deployment/workflows'));
  }
  const loads = LOADS.filter(({ component }) => only === undefined || only === component);
  if (loads.length > 0) {
    const workloads = loads.map(({ kind, component }) => `${kind}/${component}`);
    await kubectl('set', 'resources', ...workloads, `--requests=${REQUESTED}`);
    await headwater('models', 'register', 'fraud_detector', assetPath('examples/fraud/models/fraud_detector'));
    await headwater('models', 'promote', 'fraud_detector', '1', '--force');
  }
  const scaled = loads.map((load) => ({ load, processes: pods(load.component, load.args, load.portVariable) }));
  const metrics = new MetricsApi(scaled.map(({ processes }) => processes));
  stops.push(await metrics.start(api, folder));
  for (const { load, processes } of scaled) {
    await check(`${load.component}: processor time goes up and down, and replicas with it`, () =>
      underLoad(load, {
        urls: () => processes.urls,
        cores: () => metrics.cores(load.component),
        replicas: () => replicasOf(`${load.kind}/${load.component}`),
        status: () => kubectl('get', 'hpa', `keda-hpa-${load.component}`, '-o', 'jsonpath={.status}'),
      }),
    );
    await processes.stop();
  }
  await check('without metrics replicas stay as they are', async () => {
    await kubectl('scale', 'deployment', 'workflows', '--replicas=3');
    await prometheus.stop();
    await sleep(30_000);
    const left = await replicasOf('deployment/workflows');
    if (left !== 3) throw new Error(`${left} replicas`);
    return `${left} after 30 s`;
  });
}

async function checkWorkflows(
  workers: PodsAsProcesses,
  headwater: (...args: readonly string[]) => Promise<string>,
  replicas: () => Promise<number>,
): Promise<void> {
  await check('one worker while nothing waits', async () => {
    const ready = await until(90, async () =>
      workers.urls.length >= 1 && (await replicas()) === 1 ? workers.urls.length : undefined,
    );
    return `${ready} ready`;
  });
  const loadMs = Date.now();
  await headwater('workflows', 'run', 'queue', '--id', 'load');
  let most = 0;
  await check(`${STEPS} steps of ${STEP_S} s wait: replicas go up`, async () => {
    const seconds = await until(120, async () => ((await replicas()) > 1 ? secondsSince(loadMs) : undefined));
    return `after ${seconds} s`;
  });
  await check('every step ends once, sooner than by one worker', async () => {
    const ended = await until(STEPS * STEP_S, async () => {
      most = Math.max(most, workers.urls.length);
      const [record] = JSON.parse(await headwater('workflows', 'list', '--json')) as readonly {
        readonly status: string;
      }[];
      const status = record?.status ?? '';
      if (['failed', 'cancelled', 'timed_out'].includes(status)) throw new Error(`the run is ${status}`);
      return status === 'succeeded' ? secondsSince(loadMs) : undefined;
    });
    const done = (await readFile(join(folder, 'project/done'), 'utf8')).trim().split('\n');
    if (new Set(done).size !== STEPS || done.length !== STEPS) throw new Error(`${done.length} steps of ${STEPS}`);
    if (most < 2) throw new Error('one worker did all of it');
    return `after ${ended} s with up to ${most} workers; one alone takes ${STEPS * STEP_S} s`;
  });
  await check('replicas go down again, and workers drain', async () => {
    const seconds = await until(240, async () =>
      (await replicas()) === 1 && workers.urls.length === 1 ? secondsSince(loadMs) : undefined,
    );
    return `after ${seconds} s`;
  });
}

/** For the claims of StatefulSets. */
async function makeVolumes(kubectl: (...args: readonly string[]) => Promise<string>): Promise<void> {
  const items = Array.from({ length: VOLUMES }, (_, at) => ({
    ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: `volume-${at}` } },
    spec: {
      ...{ capacity: { storage: '100Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: `/volumes/${at}` } },
    },
  }));
  const file = join(folder, 'volumes.json');
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  await kubectl('apply', '-f', file);
}

function secondsSince(ms: number): number {
  return Math.round((Date.now() - ms) / 1_000);
}

/** @throws Error when it is still undefined after so many seconds */
async function until<T>(seconds: number, look: () => Promise<T | undefined>): Promise<T> {
  for (const giveUpAt = Date.now() + seconds * 1_000; ; ) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > giveUpAt) throw new Error(`not within ${seconds} s`);
    await sleep(LOOK_MS);
  }
}

/** What the secret store would have made: KEDA refuses an object whose pods need a Secret that is missing. */
async function makeSecrets(kubectl: (...args: readonly string[]) => Promise<string>, manifests: string): Promise<void> {
  const keys = new Map<string, Set<string>>();
  for (const document of parseAllDocuments(manifests)) {
    visit(document, {
      Pair(_, pair) {
        const value = isMap(pair.value)
          ? (pair.value.toJSON() as { readonly name?: string; readonly key?: string })
          : {};
        const { name, key = 'KEY' } = value;
        if (!['secretKeyRef', 'secretRef'].includes(String(pair.key)) || name === undefined) return;
        keys.set(name, (keys.get(name) ?? new Set()).add(key));
      },
    });
  }
  for (const [name, of] of keys) {
    await kubectl('create', 'secret', 'generic', name, ...[...of].map((key) => `--from-literal=${key}=of-the-check`));
  }
}

/** A project with a workflow whose steps take their time. @returns the environment of its commands */
async function makeProject(servers: Readonly<Record<string, string>>): Promise<NodeJS.ProcessEnv> {
  const project = join(folder, 'project');
  await mkdir(join(project, 'workflows'), { recursive: true });
  // Of a model that its project does not name, serving knows nothing.
  await cp(assetPath('examples/fraud'), join(project, 'fraud'), { recursive: true });
  const files: Readonly<Record<string, string>> = {
    'headwater.config.ts': `import { defineConfig } from 'headwater';
export default defineConfig({ features: 'fraud/features', models: 'fraud/models' });
`,
    'workflows/slow.ts': `import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { task } from 'headwater/workflows';
export const slow = task('slow', async (item: number) => {
  await sleep(${STEP_S * 1_000});
  appendFileSync(${JSON.stringify(join(project, 'done'))}, \`\${item}\\n\`);
  return item;
});
`,
    'workflows/queue.asl.json': JSON.stringify({
      StartAt: 'Items',
      States: {
        Items: { Type: 'Pass', Result: Array.from({ length: STEPS }, (_, item) => item), Next: 'Each' },
        Each: {
          ...{ Type: 'Map', End: true },
          ItemProcessor: { StartAt: 'Slow', States: { Slow: { Type: 'Task', Resource: 'slow', End: true } } },
        },
      },
    }),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(project, name), text);
  const { hostname, port, username, password } = new URL(servers.TEST_POSTGRES_URL as string);
  const redis = new URL(servers.TEST_REDIS_URL as string);
  return {
    ...process.env,
    ...{ HEADWATER_PROJECT: project, DATA_DIRECTORY: join(folder, 'data'), ENVIRONMENT: 'services', LOG_LEVEL: 'warn' },
    ...{ DATABASE_HOST: hostname, DATABASE_PORT: port, DATABASE_NAME: 'postgres' },
    ...{ DATABASE_USER: username, DATABASE_PASSWORD: password },
    ...{ KAFKA_BROKERS: servers.TEST_KAFKA_BROKERS, MLFLOW_TRACKING_URI: servers.TEST_MLFLOW_URL },
    ...{ REDIS_HOST: redis.hostname, REDIS_PORT: redis.port, WORKFLOWS_CONCURRENCY: '1' },
  };
}
