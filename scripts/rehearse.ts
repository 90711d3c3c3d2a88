import { createHash } from 'node:crypto';
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#kernel/errors';
import { assetPath } from '#kernel/project_root';
import { endChecks, record } from './checking/counted_checks.ts';
import { type ApiServer, startApiServer } from './deployment/api_server.ts';
import { prepareCluster } from './deployment/cluster.ts';
import { type Controllers, startControllers } from './deployment/control_plane.ts';
import { type Behaviour, Nodes } from './deployment/nodes.ts';
import * as tools from './deployment/tools.ts';
import { startProcess } from './services/managed_process.ts';

// npm run rehearse [-- TEXT]: k8s/deploy.sh brings 40 rollouts of the production overlay into a cluster whose API server, controllers and scheduler are the real ones. Nodes are played
// (scripts/deployment/nodes.ts): this rehearses objects, not processes. TEXT runs the first rollout and those whose names hold it. Each rollout has to arrive, to go back or to be refused as the table says.

const ROLLOUTS = 40;
const NODES = ['a', 'b', 'c'];
const WORKLOADS = [
  ...['statefulset/gateway', 'deployment/features', 'deployment/serving'],
  ...['deployment/workflows', 'statefulset/pipeline', 'statefulset/monitor'],
];
/** Has the image of workflows. */
const STEPS = 'workflow-step';
const SERVICES = ['gateway', 'features', 'serving'];
const SECRETS = [
  ...['headwater-credentials', 'headwater-access', 'headwater-gateway', 'headwater-features', 'headwater-serving'],
  ...['grafana', 'alertmanager-secrets'],
];
/** A node that has not reported for so long is lost. */
const MANAGER = [
  '--node-monitor-grace-period=6s',
  '--node-monitor-period=2s',
  '--horizontal-pod-autoscaler-sync-period=5s',
];
const LOOK_MS = 400;
const FAILING_S = 25;
const PATIENT_S = 150;

/** `one of both`: with all of it, or, at the latest when the fault is over, with nothing of it. */
type Outcome = 'arrives' | 'goes back' | 'one of both' | 'is refused';
const CODES: Readonly<Record<Outcome, readonly number[]>> = {
  arrives: [0],
  'goes back': [1],
  'one of both': [0, 1, 3],
  'is refused': [1],
};

interface Rollout {
  readonly name: string;
  readonly outcome: Outcome;
  readonly image?: Behaviour;
  /** A workload alone. */
  readonly only?: string;
  /** Fewest pods of each service that are ready at any time; it stands in production with three. */
  readonly fewest?: number;
  /** Done before, beside and after the rollout. */
  readonly before?: () => Promise<unknown>;
  readonly beside?: () => Promise<unknown>;
  readonly after?: () => Promise<unknown>;
  /** Killed after so long, and started again. */
  readonly killedAfterMs?: number;
}

const folder = await mkdtemp(join(tmpdir(), 'headwater-rehearsal-'));
const tree = join(folder, 'tree');
const config = join(tree, 'k8s/overlays/production/config.yaml');
let server: ApiServer | undefined;
let controllers: Controllers | undefined;
let nodes: Nodes | undefined;
try {
  await rehearse();
} finally {
  await nodes?.stop();
  await controllers?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
}
endChecks();
process.exit();

async function rehearse(): Promise<void> {
  const binaries = await tools.kubernetesBinaries();
  const kustomize = await tools.kustomizeBinary();
  await mkdir(tree);
  for (const part of ['k8s', 'monitoring']) await cp(assetPath(part), join(tree, part), { recursive: true });
  const api = await startApiServer(folder, binaries);
  server = api;
  controllers = await startControllers(api, folder, binaries, MANAGER);
  nodes = await Nodes.start(api, NODES);
  await prepare(await tools.customResources());
  const env = {
    KUBECTL: `${join(binaries, 'kubectl')} --kubeconfig ${controllers.kubeconfig}`,
    KUSTOMIZE: kustomize,
  };
  const [first, ...more] = rolloutsOf();
  const chosen = [first as Rollout, ...more.filter(({ name }) => name.includes(process.argv[2] ?? ''))];
  for (const [at, rollout] of chosen.entries()) await roll(at, rollout, env);
}

function kubectl(...args: readonly string[]): Promise<string> {
  return (server as ApiServer).kubectl('--namespace', 'headwater', ...args);
}

/** What operators and a cloud would have made: definitions, Secrets, volumes. */
async function prepare(definitions: string): Promise<void> {
  await prepareCluster(kubectl, definitions);
  for (const name of SECRETS) await makeSecret(name);
  const volumes = Array.from({ length: 20 }, (_, at) => ({
    ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: `volume-${at}` } },
    spec: {
      ...{ capacity: { storage: '100Gi' }, accessModes: ['ReadWriteOnce', 'ReadWriteMany'] },
      hostPath: { path: `/volumes/${at}` },
    },
  }));
  const file = join(folder, 'volumes.json');
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: volumes }));
  await kubectl('apply', '-f', file);
}

function makeSecret(name: string): Promise<string> {
  return kubectl('create', 'secret', 'generic', name, '--from-literal=ACCESS_API_KEYS=key-of-the-rehearsal');
}

function rolloutsOf(): readonly Rollout[] {
  const api = server as ApiServer;
  const played = nodes as Nodes;
  const faulted: readonly Rollout[] = [
    { name: 'an image that there is not', outcome: 'goes back', image: 'absent' },
    { name: 'pods that never become ready', outcome: 'goes back', image: 'never ready' },
    { name: 'pods that fail three times, then start', outcome: 'arrives', image: 'fails at first' },
    {
      ...{ name: 'a Secret that is missing', outcome: 'is refused' },
      before: () => kubectl('delete', 'secret', 'headwater-access'),
      after: () => makeSecret('headwater-access'),
    },
    {
      ...{ name: 'a quota without room for one more pod', outcome: 'one of both' },
      before: async () => {
        const pods = (await kubectl('get', 'pods', '--no-headers')).trim().split('\n').length;
        await kubectl('create', 'quota', 'full', `--hard=pods=${pods}`);
      },
      after: () => kubectl('delete', 'quota', 'full'),
    },
    {
      ...{ name: 'a machine that is lost', outcome: 'arrives', fewest: 1 },
      beside: async () => {
        await sleep(2_000);
        played.lose('c');
        await sleep(12_000);
        await played.remove('c');
      },
      after: () => played.add('c'),
    },
    {
      ...{ name: 'a machine that is drained', outcome: 'arrives', fewest: 1 },
      beside: () => kubectl('drain', 'b', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=100s'),
      after: () => kubectl('uncordon', 'b'),
    },
    {
      ...{ name: 'an API server that is killed', outcome: 'arrives' },
      beside: async () => {
        await sleep(2_000);
        await api.restart(4_000);
      },
    },
    { name: 'a deployment that is killed, and started again', outcome: 'arrives', killedAfterMs: 6_000 },
    {
      ...{ name: 'a manifest that is refused', outcome: 'is refused' },
      before: () =>
        appendFile(
          join(tree, 'k8s/base/jobs.yaml'),
          '\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: { name: spoilt }\nspec: { schedule: never }\n',
        ),
      after: () => cp(assetPath('k8s/base/jobs.yaml'), join(tree, 'k8s/base/jobs.yaml')),
    },
    {
      ...{ name: 'a change of configuration with an image that there is not', outcome: 'goes back', image: 'absent' },
      before: async () =>
        writeFile(config, (await readFile(config, 'utf8')).replace(/^data:$/m, "data:\n  REHEARSED: 'yes'")),
      after: async () => {
        await cp(assetPath('k8s/overlays/production/config.yaml'), config);
        if ((await kubectl('get', 'configmap', 'headwater', '--output=yaml')).includes('REHEARSED')) {
          throw new Error('the configuration did not go back');
        }
      },
    },
    {
      ...{ name: 'replicas that the autoscaler has raised', outcome: 'arrives' },
      before: () => kubectl('scale', 'deployment/serving', '--replicas=5'),
      after: async () => {
        const replicas = await kubectl('get', 'deployment/serving', '--output=jsonpath={.spec.replicas}');
        await kubectl('scale', 'deployment/serving', '--replicas=3');
        if (replicas !== '5') throw new Error(`serving has ${replicas} replicas after the rollout; it had 5`);
      },
    },
    {
      name: 'workflows alone, an image that there is not',
      outcome: 'goes back',
      image: 'absent',
      only: 'deployment/workflows',
    },
  ];
  const plain: Rollout = { name: 'no fault', outcome: 'arrives' };
  const rollouts: Rollout[] = [{ ...plain, name: 'the first rollout', fewest: 0 }];
  for (let at = 0; rollouts.length < ROLLOUTS; at += 1) {
    const fault = faulted[at % faulted.length] as Rollout;
    rollouts.push(fault);
    if (at % 2 === 0)
      rollouts.push(at % 6 === 4 ? { ...plain, name: 'workflows alone', only: 'deployment/workflows' } : plain);
  }
  return rollouts.slice(0, ROLLOUTS);
}

async function roll(at: number, rollout: Rollout, env: Readonly<Record<string, string>>): Promise<void> {
  const { name, outcome, only, fewest = 2 } = rollout;
  const image = `registry.example.com/headwater@sha256:${createHash('sha256').update(String(at)).digest('hex')}`;
  if (rollout.image !== undefined) (nodes as Nodes).behaviours.set(image, rollout.image);
  const startedMs = performance.now();
  const problems: string[] = [];
  const note = (error: unknown): void => void problems.push(messageOf(error));
  const images = await imagesOf();
  await rollout.before?.().catch(note);
  const watching = new AbortController();
  const least = leastReady(watching.signal);
  const args = [
    ...(only === undefined ? [] : ['--only', only]),
    '--timeout',
    String(outcome === 'goes back' || outcome === 'one of both' ? FAILING_S : PATIENT_S),
  ];
  const deploy = (killedAfterMs?: number): Promise<number | undefined> =>
    runDeploy([...args, 'production', image], { env, at, killedAfterMs });
  const beside = rollout.beside?.().catch(note);
  if (rollout.killedAfterMs !== undefined) await deploy(rollout.killedAfterMs);
  const code = await deploy();
  await beside;
  watching.abort();
  const ready = await least;
  if (code === undefined || !CODES[outcome].includes(code))
    problems.push(
      `exit code ${code} instead of ${CODES[outcome].join(' or ')}: ${(await readFile(logOf(at), 'utf8')).slice(-1_500)}`,
    );
  if (ready < fewest) problems.push(`${ready} pods of a service were ready at one time; at least ${fewest} have to be`);
  await rollout.after?.().catch(note);
  await settled().catch(note);
  const now = await imagesOf();
  for (const [workload, before] of Object.entries(images)) {
    const role = workload === STEPS ? 'workflows' : workload;
    const expected = code === 0 && (only === undefined || only.endsWith(`/${role}`)) ? image : before;
    if (now[workload] !== expected) problems.push(`${workload} has ${now[workload]} instead of ${expected}`);
  }
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
  record(
    `${String(at + 1).padStart(2)} ${outcome.padEnd(11)} ${name} (${seconds} s, ${ready} ready)`,
    problems.length === 0,
    ...problems,
  );
}

function logOf(at: number): string {
  return join(folder, `rollout-${at}.log`);
}

/** @returns the exit code; undefined where it was killed */
async function runDeploy(
  args: readonly string[],
  {
    env,
    at,
    killedAfterMs,
  }: {
    readonly env: Readonly<Record<string, string>>;
    readonly at: number;
    readonly killedAfterMs: number | undefined;
  },
): Promise<number | undefined> {
  const done = join(folder, `code-${at}`);
  await rm(done, { force: true });
  const running = await startProcess({
    ...{ name: 'deploy', command: 'setsid', logFile: logOf(at), env },
    args: ['bash', '-c', '"$0" "$@"; echo $? > "$CODE"', join(tree, 'k8s/deploy.sh'), ...args],
    ...{ env: { ...env, CODE: done }, isReady: async () => true, readyWithinMs: 10_000 },
  });
  const giveUpAt = performance.now() + (killedAfterMs ?? 10 * 60_000);
  for (;;) {
    const code = await readFile(done, 'utf8').catch(() => '');
    if (code.endsWith('\n')) return Number(code);
    if (performance.now() > giveUpAt) {
      await running.kill();
      return undefined;
    }
    await sleep(200);
  }
}

/** The image of each role; none before the first rollout. */
async function imagesOf(): Promise<Readonly<Record<string, string>>> {
  const containers = 'spec.template.spec.containers[0].image';
  const template = `{range .items[*]}{.metadata.name} {.${containers}}{.spec.jobTemplate.${containers}}{"\\n"}{end}`;
  return Object.fromEntries(await linesOf(template, ...WORKLOADS, `cronjob/${STEPS}`));
}

/** A line of a template for each object, as words. */
async function linesOf(
  template: string,
  ...objects: readonly string[]
): Promise<readonly (readonly [string, string])[]> {
  const text = await kubectl('get', ...objects, '--ignore-not-found', `--output=jsonpath=${template}`);
  return text
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' ') as [string, string]);
}

/** Looks until the signal; returns the fewest ready pods that a service had. */
async function leastReady(signal: AbortSignal): Promise<number> {
  let least = Infinity;
  while (!signal.aborted) {
    const template = '{range .items[*]}{.metadata.name} {.status.readyReplicas}{"\\n"}{end}';
    for (const [name, ready] of await linesOf(template, ...WORKLOADS).catch(() => [])) {
      if (SERVICES.includes(name)) least = Math.min(least, Number(ready ?? 0));
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
  return least === Infinity ? 0 : least;
}

/** The next rollout begins when everything of this one stands, with the replicas of autoscaling. */
async function settled(): Promise<void> {
  for (const workload of WORKLOADS) await kubectl('rollout', 'status', workload, '--timeout=90s');
  const services = WORKLOADS.filter((workload) => SERVICES.some((name) => workload.endsWith(`/${name}`)));
  await kubectl('wait', '--for=jsonpath={.status.readyReplicas}=3', ...services, '--timeout=90s');
}
