import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import { messageOf } from '#kernel/errors';
import { assetPath } from '#kernel/project_root';
import { packCommit, packTree, runCommand } from '#scripts/building/installed_package';
import { queryDatabase } from '#scripts/services/query_database';
import { startStack } from '#scripts/services/stack';
import { kustomizeBinary } from '../tools.ts';
import { type Image, makeImage } from './image.ts';
import { Load } from './load.ts';
import { type Cluster, readCluster, type Workload } from './manifests.ts';
import { Pods } from './rollout.ts';
import { Service } from './service.ts';

// npm run rehearse:processes: a project is upgraded from the newest of previous_releases.json to this version, as deploy.sh does it, on Kafka, Redis, PostgreSQL and MLflow. Each container of
// the rendered production manifests is a process with the command, environment, files, hook and probes of its manifest. Events and predictions are sent meanwhile: none may fail.

const MIGRATING = 4;
const BEFORE_MS = 5_000;
const CATCH_UP_MS = 180_000;
const secret = (): string => randomBytes(18).toString('base64url');
/** What the secret store of the cluster has, by `key/property`. */
const SECRETS: Readonly<Record<string, string>> = {
  ...{ 'headwater/database/password': secret(), 'headwater/redis/password': secret() },
  ...{ 'headwater/mlflow/token': secret(), 'headwater/access/api_keys': secret() },
  ...{ 'headwater/gateway/api_keys': secret(), 'headwater/features/api_keys': secret() },
  'headwater/serving/api_keys': secret(),
};
const KEY = SECRETS['headwater/access/api_keys'] as string;

const folder = await mkdtemp(join(tmpdir(), 'hw-'));
const network = `127.${64 + (process.pid % 128)}`;
let addresses = 0;
const nextAddress = (): string => `${network}.${Math.floor(addresses / 250)}.${(addresses++ % 250) + 1}`;
const checks: boolean[] = [];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const check = (text: string, holds: boolean): void => {
  checks.push(holds);
  say(`${holds ? 'ok    ' : 'FAILED'} ${text}`);
};
const ending: (() => unknown)[] = [];
try {
  await rehearse();
} catch (error) {
  check(messageOf(error), false);
} finally {
  for (const end of ending.reverse()) await end();
  if (checks.every(Boolean)) await rm(folder, { recursive: true, force: true });
  else say(`logs: ${folder}`);
}
const failed = checks.filter((holds) => !holds).length;
say(`${checks.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

async function rehearse(): Promise<void> {
  const { commit } = (
    JSON.parse(await readFile(assetPath('test/data/previous_releases.json'), 'utf8')) as { readonly commit: string }[]
  ).at(-1) as { readonly commit: string };
  // PostgreSQL runs as another user.
  await chmod(folder, 0o755);
  const stackFolder = join(folder, 'stack');
  await mkdir(stackFolder);
  const stack = await startStack(stackFolder);
  ending.push(() => stack.stop());
  const redis = new Redis({ host: stack.env.REDIS_HOST as string, port: Number(stack.env.REDIS_PORT) });
  await redis.config('SET', 'requirepass', SECRETS['headwater/redis/password'] as string);
  redis.disconnect();

  // A project of the version before, with the deployment of this one.
  const project = join(folder, 'project');
  const before = join(folder, 'before');
  await unpack(commit, ['examples/fraud', 'k8s', 'monitoring'], before);
  await runCommand('cp', ['-r', join(before, 'examples/fraud'), project], { cwd: folder });
  const deploy = ['init', project, '--deploy', 'k8s', '--force'];
  await runCommand(process.execPath, [assetPath('dist/cli/headwater.js'), ...deploy], { cwd: folder });
  const images = {
    old: await makeImage(folder, { name: 'old', tarball: await packCommit(commit), project }),
    new: await makeImage(folder, { name: 'new', tarball: await packTree(assetPath(''), folder), project }),
  };
  const clusters = { old: await clusterOf(before, stack.env), new: await clusterOf(project, stack.env) };

  await headwater(images.old, stack.env, 'models', 'register', 'fraud_detector', '/project/models/fraud_detector');
  await headwater(images.old, stack.env, 'models', 'promote', 'fraud_detector', '1', '--force');
  const podsFolder = join(folder, 'pods');
  await mkdir(podsFolder);
  const pods = new Map<string, Pods>();
  ending.push(() => Promise.all([...pods.values()].map((each) => each.stop())));
  for (const workload of clusters.old.workloads) await roll(pods, podsFolder, workload, clusters.old, images.old);

  const services = new Map<string, Service>();
  for (const name of ['gateway', 'features', 'serving']) {
    const port = clusters.new.services.get(name) as number;
    services.set(name, await Service.start(nextAddress(), port, () => pods.get(name)?.running ?? []));
  }
  ending.push(() => {
    for (const service of services.values()) service.stop();
  });
  const urlOf = (name: string): string => (services.get(name) as Service).url;
  const load = await Load.start({ gateway: urlOf('gateway'), serving: urlOf('serving'), key: KEY });
  await sleep(BEFORE_MS);

  const migrations = await migrate(images.new, stack.env);
  check(
    `${MIGRATING} processes that migrate at once, beside the version before: ${migrations} applied, once each`,
    migrations > 0,
  );
  for (const workload of clusters.new.workloads) await roll(pods, podsFolder, workload, clusters.new, images.new);
  say(`       ${load.repeated} requests were sent once more, as a connection to the version before was closed`);
  // Once more without a change, as `kubectl rollout restart` does: this version's own pods go.
  const repeated = load.repeated;
  const again = { ...images.new, name: 'again' };
  for (const workload of clusters.new.workloads) {
    if (services.has(workload.metadata.name)) await roll(pods, podsFolder, workload, clusters.new, again);
  }
  await sleep(BEFORE_MS);
  await load.stop();
  say(`       ${load.repeated - repeated} requests were sent once more to this version`);

  const sorted = load.latenciesMs.sort((one, other) => one - other);
  const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(0);
  check(
    `${load.predictions} predictions and ${load.events} events; ${load.failures.length} requests failed`,
    load.failures.length === 0 && load.predictions > 0,
  );
  say(`       predictions: median ${at(0.5)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms`);
  for (const failure of load.failures.slice(0, 10)) say(`       ${failure}`);
  for (const name of ['gateway', 'serving']) {
    const { connections, refused } = services.get(name) as Service;
    const counts = [...connections].map(([image, count]) => `${count} to ${image}`).join(', ');
    check(`${name}: connections ${counts}; ${refused} without a ready pod`, refused === 0 && connections.size === 3);
  }
  const lost = await eventsWithoutRow(stack.env, load.accepted);
  check(`${lost} of ${load.events} accepted events have no row`, lost === 0);
  const counted = await countsOf(urlOf('features'), load.accepted);
  check(`features count each event once: ${counted.join('; ')}`, counted.length === 0);
  const failures = [...pods.values()]
    .flatMap(({ running }) =>
      running.map(({ spec, failure }) => (failure === undefined ? [] : [`${spec.name}: ${failure}`])),
    )
    .flat();
  check(`pods that failed: ${failures.join(', ')}`, failures.length === 0);
  await Promise.all([...pods.values()].map((each) => each.stop()));
  const exits = [...pods.values()].flatMap((each) => each.exits);
  check(
    `${exits.length} pods were stopped within their grace, with exit code 0`,
    exits.every((code) => code === 0),
  );
}

async function roll(
  all: Map<string, Pods>,
  at: string,
  workload: Workload,
  cluster: Cluster,
  image: Image,
): Promise<void> {
  const { name } = workload.metadata;
  const pods = all.get(name) ?? new Pods(at, nextAddress);
  all.set(name, pods);
  const startedMs = performance.now();
  await pods.roll(workload, cluster, image);
  say(
    `${workload.kind.toLowerCase()}/${name}: ${pods.running.length} pods of the ${image.name} version are ready (${((performance.now() - startedMs) / 1_000).toFixed(1)} s)`,
  );
}

async function unpack(commit: string, paths: readonly string[], to: string): Promise<void> {
  await mkdir(to);
  const command = `git archive ${commit} ${paths.join(' ')} | tar -x -C "$0"`;
  await runCommand('bash', ['-o', 'pipefail', '-c', command, to], { cwd: assetPath('') });
}

/** Renders production, with the addresses of the stores here. Two pods of each service, for machines with two cores. */
async function clusterOf(tree: string, env: Readonly<Record<string, string>>): Promise<Cluster> {
  const overlay = join(tree, 'k8s/overlays/rehearsal');
  await mkdir(overlay);
  const { ENVIRONMENT: _environment, DATABASE_PASSWORD: _password, ...here } = env;
  const data = {
    ...{ KAFKA_TLS: null, REDIS_TLS: null, DATABASE_SSL_MODE: 'disable', ...here },
    PRODUCTION_WAIVERS: 'broker.tls,onlineStore.tls,offlineStore.tls,registry.tls',
  };
  const kustomization = {
    ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'headwater' },
    resources: ['../production'],
    patches: [
      { patch: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'headwater' }, data }) },
      {
        target: { kind: 'HorizontalPodAutoscaler' },
        patch: JSON.stringify([{ op: 'replace', path: '/spec/minReplicas', value: 2 }]),
      },
    ],
  };
  await writeFile(join(overlay, 'kustomization.yaml'), JSON.stringify(kustomization));
  return readCluster(await runCommand(await kustomizeBinary(), ['build', overlay], { cwd: tree }), SECRETS);
}

function headwater(image: Image, env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<string> {
  const translate = (text: string): string =>
    Object.entries(image.folders).reduce((path, [from, to]) => path.replace(new RegExp(`^${from}(?=/|$)`), to), text);
  const [, ...command] = [...image.entryPoint, ...args].map(translate);
  return runCommand(process.execPath, command, {
    cwd: folder,
    env: {
      ...env,
      ...{ HEADWATER_PROJECT: translate('/project'), DATA_DIRECTORY: join(folder, 'command') },
      ...{ REDIS_PASSWORD: SECRETS['headwater/redis/password'], LOG_LEVEL: 'warn' },
    },
  });
}

/** Returns how many migrations several processes of an image have applied that were started together. */
async function migrate(image: Image, env: Readonly<Record<string, string>>): Promise<number> {
  const count = async (): Promise<number> =>
    Number((await queryDatabase<{ readonly n: string }>(env, 'SELECT count(*) AS n FROM headwater_migrations'))[0]?.n);
  const before = await count();
  await Promise.all(Array.from({ length: MIGRATING }, () => headwater(image, env, 'workflows', 'list', '--json')));
  return (await count()) - before;
}

/** Waits until the pipeline has caught up. @returns how many events have no row in the end */
async function eventsWithoutRow(
  env: Readonly<Record<string, string>>,
  accepted: ReadonlyMap<string, readonly number[]>,
): Promise<number> {
  const giveUpAt = Date.now() + CATCH_UP_MS;
  for (;;) {
    const rows = await queryDatabase<{ readonly entity_key: EntityKey; readonly at: string }>(
      env,
      `SELECT entity_key, (extract(epoch FROM event_time) * 1000)::bigint::text AS at FROM feature_rows WHERE view = 'fraud' AND version = 1`,
    );
    const found = new Set(rows.map(({ entity_key: entity, at }) => `${idOf(entity)} ${at}`));
    const missing = [...accepted].flatMap(([account, times]) => times.filter((at) => !found.has(`${account} ${at}`)));
    if (missing.length === 0 || Date.now() > giveUpAt) return missing.length;
    await sleep(1_000);
  }
}

/** Returns the accounts whose features count something else than their events. */
async function countsOf(url: string, accepted: ReadonlyMap<string, readonly number[]>): Promise<readonly string[]> {
  const giveUpAt = Date.now() + 30_000;
  for (;;) {
    const wrong: string[] = [];
    for (const [account, times] of accepted) {
      const answer = await fetch(`${url}/features/${account}?view=fraud@1`, { headers: { 'x-api-key': KEY } });
      const { features } = (await answer.json()) as {
        features?: Readonly<Record<string, { readonly value: unknown }>>;
      };
      const count = features?.count_7d?.value;
      if (count !== times.length) wrong.push(`${account} counts ${count} of ${times.length}`);
    }
    if (wrong.length === 0 || Date.now() > giveUpAt) return wrong;
    await sleep(1_000);
  }
}
