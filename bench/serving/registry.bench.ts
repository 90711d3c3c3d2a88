import { execFileSync } from 'node:child_process';
import { assetPath } from '#kernel/project_root';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { Lifecycle } from '#registry/lifecycle/lifecycle';
import { MlflowClient } from '#registry/mlflow/client';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { MlflowRegistry } from '#registry/mlflow/mlflow_registry';
import { readModelFolder } from '#registry/model_folder';
import { startServers } from '#scripts/services/start_all';
import { servingConfigSchema } from '#serving/config';
import { ModelServer } from '#serving/inference/model_server';
import { examineModel } from '#serving/models/loaded_model';
import { median } from '../tools/quantiles.ts';
import { report } from '../tools/result.ts';

// A model of a thousand versions in MLflow: listing them, beside MLflow's own client; what a promotion takes beyond MLflow's own part of it; how
// soon serving follows a stage that is moved elsewhere.
const VERSIONS = 1_000;
const ROUNDS = 9;
const PROMOTIONS = 11;

const LISTS = `
import sys, time
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
times = []
for _ in range(${ROUNDS}):
    begin = time.perf_counter()
    found, token = [], None
    while True:
        page = client.search_model_versions(f"name='{sys.argv[2]}'", max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    assert len(found) == ${VERSIONS}
    times.append((time.perf_counter() - begin) * 1000)
print(sorted(times)[${ROUNDS} // 2])
`;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

/** Time during which a request to MLflow was under way, ms. */
const waitedForMlflow = { ms: 0 };
let underWay = 0;
let sinceMs = 0;
for (const method of ['get', 'post', 'getArtifact'] as const) {
  const original = MlflowClient.prototype[method] as (...args: unknown[]) => Promise<unknown>;
  const watched = async function (this: MlflowClient, ...args: unknown[]): Promise<unknown> {
    if (underWay === 0) sinceMs = performance.now();
    underWay += 1;
    try {
      return await original.apply(this, args);
    } finally {
      underWay -= 1;
      if (underWay === 0) waitedForMlflow.ms += performance.now() - sinceMs;
    }
  };
  Object.assign(MlflowClient.prototype, { [method]: watched });
}

const servers = await startServers(['mlflow']);
try {
  if (servers.failures.length > 0) throw new Error(servers.failures.join('; '));
  const { TEST_MLFLOW_URL: trackingUri, TEST_MLFLOW_PYTHON: python } = servers.env as Record<string, string>;
  const config = mlflowConfigSchema.parse({ kind: 'mlflow', trackingUri });
  const [client, registry] = [new MlflowClient(config), new MlflowRegistry(config)];
  const name = 'thousand';
  const model = await readModelFolder(assetPath('examples/fraud/models/fraud_detector'));
  const first = await registry.register({ name, ...model });
  const { model_version: wire } = await client.get<{ model_version: { source: string; run_id: string } }>(
    'model-versions/get',
    { name, version: String(first.version) },
  );
  const metricTags = Object.entries(model.metrics).map(([key, value]) => ({
    key: `headwater.metric.${key}`,
    value: String(value),
  }));
  for (let version = 2; version <= VERSIONS; version += 1) {
    const { source, run_id } = wire;
    await client.post('model-versions/create', { name, source, run_id, tags: metricTags });
  }

  const lists: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) lists.push(await timed(() => registry.listVersions(name)));
  const peer = Number(
    execFileSync(python as string, ['-W', 'ignore', '-c', LISTS, trackingUri as string, name], { encoding: 'utf8' }),
  );
  report({
    ...{ bench: 'registry', case: `list ${VERSIONS} versions`, metric: 'p50', value: median(lists), unit: 'ms' },
    ...{ peer: 'mlflow client in Python', peerValue: peer, ceiling: 1_000 },
  });

  // What MLflow itself does for a promotion: hand out the model, move the stage, set the alias, write down why.
  const bare = async (version: number): Promise<void> => {
    const path = wire.source.replace('mlflow-artifacts:/', '');
    await Promise.all([client.getArtifact(`${path}/model.onnx`), client.getArtifact(`${path}/headwater.json`)]);
    const of = { name, version: String(version) };
    await client.post('model-versions/transition-stage', {
      ...of,
      ...{ stage: 'Production', archive_existing_versions: true },
    });
    await client.post('registered-models/alias', { ...of, alias: 'champion' });
    await client.post('model-versions/set-tag', { ...of, key: 'why', value: 'bench' });
  };
  const lifecycle = new Lifecycle({ registry, examine: examineModel, checkSignature: () => [] });
  const [ours, theirs, own]: [number[], number[], number[]] = [[], [], []];
  for (let round = 1; round <= PROMOTIONS; round += 1) {
    theirs.push(await timed(() => bare(round)));
    const why = { stage: 'Production', by: 'bench', reason: 'bench' } as const;
    const waited = waitedForMlflow.ms;
    const took = await timed(() => lifecycle.promote(name, round + PROMOTIONS, why));
    ours.push(took);
    own.push(took - (waitedForMlflow.ms - waited));
  }
  report({
    ...{ bench: 'registry', case: 'promotion: gates, lease, trail', metric: 'p50', value: median(ours), unit: 'ms' },
    ...{ peer: 'model, stage, alias, tag alone', peerValue: median(theirs) },
  });
  report({
    ...{
      bench: 'registry',
      case: 'promotion',
      metric: 'p50 without MLflow’s own time',
      value: median(own),
      unit: 'ms',
    },
    ceiling: 50,
  });

  const models = new ModelServer(
    { registry: new MlflowRegistry(config), log: silentLogger, metrics: createMetricsRegistry({ process: false }) },
    servingConfigSchema.parse({ models: [{ name }] }),
  );
  await models.start();
  const follows: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const version = 100 + round;
    await client.post('model-versions/transition-stage', {
      ...{ name, version: String(version), stage: 'Production', archive_existing_versions: false },
    });
    follows.push(
      await timed(async () => {
        while (models.status()[0]?.version !== version) await new Promise((resolve) => setTimeout(resolve, 5));
      }),
    );
  }
  await models.stop();
  report({
    ...{ bench: 'registry', case: 'a stage is moved elsewhere', metric: 'served after, max', unit: 'ms' },
    ...{ value: Math.max(...follows), ceiling: 2_000 },
  });
} finally {
  await servers.stop();
}
