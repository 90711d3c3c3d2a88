import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { assetPath, projectRoot } from '#kernel/project_root';
import { runCommand } from '#scripts/building/installed_package';
import { KubernetesError } from '#workflows/errors';
import { type CronJob, jobManifest, jobName } from '#workflows/jobs/job_manifest';
import { kubernetesApi } from '#workflows/jobs/kubernetes_api';
import { check, endChecks } from './checking/counted_checks.ts';
import { type ApiServer, startApiServer } from './deployment/api_server.ts';
import { bindFiles, checkStepsOnNodes } from './deployment/check_steps_on_nodes.ts';
import { builtBy, builtWithKeda, prepareCluster } from './deployment/cluster.ts';
import { startNodes } from './deployment/kwok_nodes.ts';
import * as tools from './deployment/tools.ts';
import { run } from './services/install.ts';

// npm run check:deployment: images, compose files, workflows and manifests, by the tools that will read them; Kubernetes by a real API server with
// the definitions of the operators. The first run builds these tools, which takes a quarter of an hour.

const CLI = assetPath('dist/cli/headwater.js');
const folder = await mkdtemp(join(tmpdir(), 'headwater-deployment-'));
let server: ApiServer | undefined;
let nodes: { stop(): Promise<void> } | undefined;
/** A project as `headwater init` writes it, with the files of both deployments. */
const PROJECT = 'orders';
const PRODUCTION_IMAGE = `headwater@sha256:${'0'.repeat(64)}`;
try {
  for (const kind of ['k8s', 'compose'])
    await run(process.execPath, [CLI, 'init', PROJECT, '--deploy', kind], { cwd: folder });
  await checkFiles();
  await checkCompose();
  await checkManifests();
} finally {
  await nodes?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
}
endChecks();

async function checkFiles(): Promise<void> {
  const hadolint = await tools.hadolintBinary();
  await check('hadolint: Dockerfile', () => run(hadolint, [assetPath('Dockerfile')]));
  await check('hadolint: Dockerfile of a project', () => run(hadolint, [join(folder, PROJECT, 'Dockerfile')]));
  const actionlint = await tools.actionlintBinary();
  const workflows = (await readdir(assetPath('.github/workflows'))).map((name) =>
    assetPath(`.github/workflows/${name}`),
  );
  await check('actionlint: workflows', () => run(actionlint, workflows));
}

async function checkCompose(): Promise<void> {
  const compose = await tools.composeBinary();
  // As start-local.sh writes it.
  const filled = join(folder, 'filled.env');
  await writeFile(
    filled,
    (await readFile(assetPath('.env.example'), 'utf8')).replaceAll(/^(\w+)=$/gm, '$1=of-this-check'),
  );
  const config = (
    files: readonly string[],
    env: Record<string, string> = {},
    { cwd = projectRoot, envFile = filled, args = ['--quiet'] }: ConfigOptions = {},
  ) =>
    runCommand(compose, ['--env-file', envFile, ...files.flatMap((file) => ['-f', file]), 'config', ...args], {
      ...{ cwd, env },
    });
  const production = {
    ...{
      HEADWATER_IMAGE: PRODUCTION_IMAGE,
      TLS_ENDS_IN_FRONT: 'true',
      GATEWAY_API_KEYS: 'a',
      FEATURE_API_KEYS: 'b',
      API_KEYS: 'c',
      ACCESS_API_KEYS: 'd',
    },
  };
  const files = ['docker-compose.yml'];
  const development = [...files, 'docker-compose.dev.yml'];
  await check('compose: as it is', () => config(files));
  await check('compose: development', () => config(development));
  for (const [name, merged, env] of [
    ['as it is', files, {}],
    ['development', development, {}],
    ['production', [...files, 'docker-compose.prod.yml'], production],
  ] as const) {
    await check(
      `compose: ${name}: each service that starts has limits, a health check, and ports on loopback`,
      async () => refuseServices(await config(merged, env, { args: ['--format', 'json'] })),
    );
  }
  await check(
    'compose: without passwords is refused',
    () => config(files, {}, { envFile: '.env.example' }),
    /_PASSWORD.*set it in \.env/,
  );
  await check('compose: production', () => config([...files, 'docker-compose.prod.yml'], production));
  const noKeys = { ...production, API_KEYS: '' };
  await check(
    'compose: production without keys is refused',
    () => config([...files, 'docker-compose.prod.yml'], noKeys),
    /API_KEYS/,
  );
  const project = join(folder, PROJECT);
  await check('compose: of a project', () => config(files, {}, { cwd: project }));
  await check('compose: of a project in production', () =>
    config([...files, 'docker-compose.prod.yml'], production, { cwd: project }),
  );
}

interface ConfigOptions {
  readonly cwd?: string;
  readonly envFile?: string;
  readonly args?: readonly string[];
}

/** @throws with what services of a rendered file lack. The health check of an image that is built here comes with it. */
function refuseServices(rendered: string): void {
  interface Service {
    readonly build?: object;
    readonly image: string;
    readonly scale?: number;
    readonly healthcheck?: { readonly disable?: boolean };
    readonly restart?: string;
    readonly deploy?: {
      readonly resources?: { readonly limits?: { readonly cpus?: number; readonly memory?: string } };
    };
    readonly ports?: readonly { readonly host_ip?: string }[];
  }
  const { services } = JSON.parse(rendered) as { readonly services: Readonly<Record<string, Service>> };
  const problems = Object.entries(services).flatMap(
    ([name, { build, image, healthcheck, restart, deploy, ports = [], scale }]) => {
      const ofRoles = build !== undefined || image === PRODUCTION_IMAGE;
      // What ends by itself has none.
      const hasHealth =
        ofRoles || restart === 'on-failure' || (healthcheck !== undefined && healthcheck.disable !== true);
      const { cpus, memory } = deploy?.resources?.limits ?? {};
      return [
        ...(scale === 0 || hasHealth ? [] : [`${name} has no health check`]),
        ...(cpus === undefined || memory === undefined ? [`${name} has no limits`] : []),
        ...(ports.every(({ host_ip: ip }) => ip === '127.0.0.1') ? [] : [`${name} has a port on another address`]),
      ];
    },
  );
  if (problems.length > 0) throw new Error(problems.join('\n'));
}

async function checkManifests(): Promise<void> {
  const kustomize = await tools.kustomizeBinary();
  const definitions = await tools.customResources();
  const api = await startApiServer(folder, await tools.kubernetesBinaries());
  server = api;
  await prepareCluster(api.kubectl, definitions);

  const apply = async (name: string, manifests: string): Promise<void> => {
    const file = join(folder, `${name}.yaml`);
    await writeFile(file, manifests);
    const said = await api.kubectl('apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', file);
    if (/^Warning/m.test(said)) throw new Error(said);
  };
  const built = new Map<string, string>();
  for (const overlay of await readdir(assetPath('k8s/overlays'))) {
    await check(`Kubernetes takes k8s/overlays/${overlay}`, async () => {
      built.set(overlay, await builtBy(kustomize, assetPath(`k8s/overlays/${overlay}`), folder));
      await apply(overlay, built.get(overlay) as string);
    });
  }
  const overlays = join(folder, PROJECT, 'k8s/overlays');
  for (const overlay of await readdir(overlays)) {
    await check(`Kubernetes takes ${overlay} of a project`, async () => {
      const manifests = await builtBy(kustomize, join(overlays, overlay), folder);
      if (!/image: \S*orders[:@]/.test(manifests) || /image: \S*headwater/.test(manifests))
        throw new Error('a workload has another image than that of the project');
      await apply(`project-${overlay}`, manifests);
    });
  }
  await check('Kubernetes takes production with KEDA', async () =>
    apply('keda', await builtWithKeda(kustomize, folder)),
  );
  await check('Kubernetes takes Jobs of workflow steps, once each, with the graphics processors of a training', () =>
    checkSteps(api, built.get('production') ?? ''),
  );
  await bindFiles(api.kubectl, folder);
  nodes = await startNodes(api, folder, await tools.kubernetesBinaries(), await tools.kwok(), ['one', 'two', 'three']);
  await checkStepsOnNodes(api, folder, join(folder, 'step_token'), check);
  // The checks themselves: what is wrong is refused.
  const production = built.get('production') ?? '';
  const spoilt = [
    ['more replicas at least than at most', /maxReplicas: \d+/, 'maxReplicas: 1', /maxReplicas/],
    [
      'a field that there is not',
      /terminationGracePeriodSeconds/,
      'terminationGraceSeconds',
      /terminationGraceSeconds/,
    ],
    ['a quantity that is none', /memory: 1Gi/, 'memory: 1 gigabyte', /quantit/],
    ['an alert without an expression', /\n( +)expr: /, '\n$1exprs: ', /expr/],
    ['a pod that may be root', /runAsNonRoot: true/g, 'runAsNonRoot: false', /PodSecurity/],
  ] as const;
  for (const [what, found, instead, refusal] of spoilt) {
    await check(`Kubernetes refuses ${what}`, () => apply('spoilt', production.replace(found, instead)), refusal);
  }
}

/** Creates and deletes the Job of a step with the worker's own client, as its service account: that may do no more. */
async function checkSteps(api: ApiServer, manifests: string): Promise<void> {
  const file = join(folder, 'steps.yaml');
  const needed = parseAllDocuments(manifests)
    .map((document) => document.toJS() as { readonly kind: string; readonly metadata: { readonly name: string } })
    .filter(
      ({ kind, metadata: { name } }) =>
        (/^(ServiceAccount|Role|RoleBinding|Deployment)$/.test(kind) && name === 'workflows') ||
        /^workflow-(step|files)$/.test(name),
    );
  await writeFile(file, needed.map((object) => JSON.stringify(object)).join('\n---\n'));
  await api.kubectl('apply', '--server-side', '--validate=strict', '-f', file);
  const tokenFile = join(folder, 'step_token');
  await writeFile(tokenFile, await api.kubectl('create', 'token', 'workflows', '--namespace=headwater'), {
    mode: 0o600,
  });
  const request = kubernetesApi({ server: api.url, caFile: api.caFile, tokenFile, namespace: 'headwater' });
  const step = { key: 'run-1:Train:1', run: 'run-1', workflow: 'retrain_fraud', state: 'Train', timeoutMs: 60_000 };
  const template = await request<CronJob>('GET', 'cronjobs/workflow-step');
  const manifest = jobManifest(template, { ...step, resources: { gpu: true, memory: '16Gi' } });
  await request('POST', 'jobs', manifest);
  const refusal = (work: Promise<unknown>): Promise<number | undefined> =>
    work.then(
      () => undefined,
      (error: unknown) => (error instanceof KubernetesError ? error.status : 0),
    );
  const name = jobName(step.key);
  const shown = JSON.stringify(await request('GET', `jobs/${name}`));
  const statuses = [
    await refusal(request('POST', 'jobs', manifest)),
    await refusal(request('GET', 'jobs')),
    await refusal(request('GET', 'cronjobs/materialize')),
    await refusal(request('DELETE', `jobs/${name}?propagationPolicy=Background`)),
  ];
  if (statuses.join() !== '409,403,403,') throw new Error(`the API server answers ${statuses.join()}`);
  for (const part of ['"nvidia.com/gpu":"1"', '"memory":"16Gi"', '"claimName":"workflow-files"', step.key]) {
    if (!shown.includes(part)) throw new Error(`the Job has no ${part}: ${shown}`);
  }
}
