import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { assetPath } from '#kernel/project_root';
import { packCommit, packTree, progress, runCommand } from '#scripts/building/installed_package';
import { type ApiServer, startApiServer } from '#scripts/deployment/api_server';
import { prepareCluster } from '#scripts/deployment/cluster';
import { customResources, kubernetesBinaries, kustomizeBinary } from '#scripts/deployment/tools';
import { freePort } from '#scripts/services/managed_process';
import { type StartedServers, startServers } from '#scripts/services/start_all';
import { type Place, Reader } from '../support/platforms/followed_pages.ts';

// How-tos that need servers, followed in a project made from the tarball: Beam's job server with Flink, MLflow and scikit-learn, the stores of production and Kubernetes' API server.

let folder: string;
let tarball: string;
let reader: Reader | undefined;
let servers: StartedServers | undefined;
let api: ApiServer | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'how-to-'));
  tarball = await packTree(assetPath(''), join(folder, 'registry'));
}, 300_000);
afterEach(async () => {
  await reader?.end();
  await servers?.stop();
  await api?.stop();
  [reader, servers, api] = [undefined, undefined, undefined];
}, 120_000);
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
}, 60_000);

async function started(...names: readonly string[]): Promise<Readonly<Record<string, string>>> {
  servers = await startServers(names);
  expect(servers.failures).toEqual([]);
  return servers.env;
}

let project: Promise<string> | undefined;
/** Returns the project that pages begin with, which is made once: as the quick start makes it. */
function shop(): Promise<string> {
  project ??= (async () => {
    const from = `file:${tarball}`;
    const init = ['exec', '--yes', '--ignore-scripts', `--package=${tarball}`, '--', 'headwater', 'init', 'shop'];
    await runCommand('npm', [...init, '--headwater', from], { cwd: folder, as: 'init' });
    await runCommand('npm', ['install'], { cwd: join(folder, 'shop'), as: 'npm install' });
    return join(folder, 'shop');
  })();
  return project;
}

async function followed(page: string, place: Omit<Place, 'folder' | 'tarball'>): Promise<Reader> {
  reader = await Reader.in({ folder: await shop(), tarball, ...place });
  await reader.follow(`how_to/${page}`);
  return reader;
}

test('run on Flink: a pipeline gives the same in one process, on Flink, and with workers of their own', async () => {
  const { TEST_FLINK_JOB_ENDPOINT: endpoint = '' } = await started('flink');
  const instead = { 'localhost:8099': endpoint, 'localhost:50000': `127.0.0.1:${await freePort()}` };
  const page = await followed('run_on_flink', { instead });
  const rows = (from: string): readonly string[] => page.outputOf(`find ${from}`).trim().split('\n').sort();
  const expected = ['{"country":"DE","amount":30}', '{"country":"DE","amount":7}', '{"country":"FR","amount":5}'];
  for (const from of ['revenue', 'on_flink', 'by_workers']) expect([from, rows(from)]).toEqual([from, expected]);
  expect(page.elsewhere).toEqual(['docker run --rm --network host apache/beam_flink1.19_job_server:2.62.0']);
}, 900_000);

test('go to production: the settings pass the check, and the API server takes the manifests', async () => {
  const env = await started('redis', 'postgres', 'kafka', 'mlflow');
  const [redis, postgres] = [new URL(env.TEST_REDIS_URL as string), new URL(env.TEST_POSTGRES_URL as string)];
  const password = 'kite-harbour-velvet-19';
  const client = new Redis(redis.href);
  await client.config('SET', 'requirepass', password);
  client.disconnect();

  const binaries = await kubernetesBinaries();
  await mkdir(join(folder, 'bin'));
  await mkdir(join(folder, 'cluster'));
  await symlink(await kustomizeBinary(), join(folder, 'bin/kustomize'));
  api = await startApiServer(join(folder, 'cluster'), binaries);
  await prepareCluster(api.kubectl, await customResources());
  const server = `${join(binaries, 'kubectl')} --server ${api.url} --insecure-skip-tls-verify --token ${api.token} --kubeconfig /dev/null`;

  const page = await followed('go_to_production', {
    instead: {
      'kubectl apply': `${server} apply`,
      'KAFKA_BROKERS=kafka.example.com:9093': `KAFKA_BROKERS=${env.TEST_KAFKA_BROKERS}`,
      'REDIS_HOST=redis.example.com': `REDIS_HOST=${redis.hostname}`,
      'REDIS_PORT=6379': `REDIS_PORT=${redis.port}`,
      'DATABASE_HOST=postgres.example.com': `DATABASE_HOST=${postgres.hostname}`,
      'DATABASE_PORT=5432': `DATABASE_PORT=${postgres.port}`,
      'https://mlflow.example.com': env.TEST_MLFLOW_URL as string,
      'PASSWORD-OF-REDIS': password,
      'PASSWORD-OF-POSTGRES': password,
      'TOKEN-OF-MLFLOW': password,
      // The servers of tests speak without TLS.
      'KAFKA_TLS=true': 'KAFKA_TLS=false',
      'REDIS_TLS=true': 'REDIS_TLS=false',
      'DATABASE_SSL_MODE=require': 'DATABASE_SSL_MODE=disable',
    },
    env: {
      PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
      ...{ DATABASE_USER: postgres.username, DATABASE_NAME: postgres.pathname.slice(1) },
      PRODUCTION_WAIVERS: 'broker.tls,onlineStore.tls,offlineStore.tls,registry.tls',
    },
  });
  expect(page.outputOf('config show')).not.toContain(password);
  expect(page.outputOf('keys list')).toMatch(/operator[\s\S]*web/);
  const checked = page.outputOf('npx headwater check');
  progress(checked.trim());
  expect(checked.match(/PASS/g)).toHaveLength(12);
  expect(page.outputOf('kubectl apply')).toMatch(/statefulset.apps\/gateway serverside-applied \(server dry run\)/);
  expect(page.elsewhere).toEqual([
    'docker build -t registry.example.com/shop . && docker push registry.example.com/shop',
    'k8s/deploy.sh production registry.example.com/shop@sha256:…',
    'npx headwater check --host predict.example.com',
  ]);
}, 1_800_000);

test('bring a model from Python: what scikit-learn has trained is promoted by its metric and predicts', async () => {
  const mlflow = await freePort();
  const page = await followed('bring_a_model_from_python', {
    instead: {
      '"headwater[pandas]"': `"${assetPath('python')}[pandas]"`,
      '--port 5000': `--port ${mlflow}`,
      'http://localhost:5000': `http://127.0.0.1:${mlflow}`,
    },
  });
  const [, auc] = /^version 1: last_amount, purchases_1h, .*auc ([\d.]+)$/m.exec(page.outputOf('train.py')) ?? [];
  progress(`area under the curve: ${auc}`);
  expect(Number(auc)).toBeGreaterThan(0.6);
  expect(page.outputOf('models list')).toMatch(/^comes_back 1 None auc=0\.\d+$/m);
  expect(page.outputOf('models promote')).toContain('comes_back 1 is in Production');
  expect(page.answerOf('/predict')).toMatchObject({
    ...{ model_name: 'comes_back', model_version: 1 },
    probabilities: { no: expect.any(Number), yes: expect.any(Number) },
  });
  expect(page.elsewhere).toEqual([]);
}, 1_800_000);

test('upgrade: a project of the release before keeps its values and takes the new manifests', async () => {
  const releases = JSON.parse(readFileSync(assetPath('test/data/previous_releases.json'), 'utf8')) as {
    readonly commit: string;
  }[];
  const { commit } = releases.at(-1) as { readonly commit: string };
  const place = { folder: join(folder, 'before'), tarball: await packCommit(commit) };
  const leftOut = ['npx headwater why value customer:c1 purchases_1h'];
  reader = await Reader.in({ ...place, leftOut, instead: { 'headwater@latest': tarball } });
  await reader.follow('quick_start');
  const { features: before } = reader.answerOf('/features/c1');
  await reader.follow('how_to/upgrade');
  const { features } = reader.answerOf('/features/c1');
  expect(features).toEqual(before);
  expect(reader.outputOf('npx headwater check --against main')).toMatch(/./);
  expect(reader.outputOf('npx headwater plan')).toMatch(/./);
  expect(reader.outputOf('git diff')).toContain('k8s/overlays/production/kustomization.yaml');
  expect(reader.elsewhere).toHaveLength(2);
}, 1_800_000);
