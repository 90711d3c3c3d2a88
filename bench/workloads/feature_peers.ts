import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, once, run } from '#scripts/services/install';
import { freePort, startProcess } from '#scripts/services/managed_process';

// What features are measured against: Feast's HTTP server on the same Redis, DuckDB's ASOF join.

const PYTHON = join(cacheFolder, 'bench-features-1');

async function python(): Promise<string> {
  await once(PYTHON, 'installing Feast 0.67 and DuckDB 2.0 to compare with', async () => {
    await run('python3', ['-m', 'venv', PYTHON]);
    const requirements = assetPath('bench/python/features_requirements.txt');
    await run(join(PYTHON, 'bin/pip'), ['install', '-q', '--disable-pip-version-check', '-r', requirements]);
  });
  return join(PYTHON, 'bin/python');
}

export interface FeastServer {
  readonly url: string;
  /** Body of a request for fifteen features of these entities, by number. */
  readonly bodyFor: (entities: readonly number[]) => string;
  stop(): Promise<void>;
}

/** Feast's own HTTP server over a view of fifteen features in Redis. */
export async function startFeast(redis: URL, entities: number): Promise<FeastServer> {
  const interpreter = await python();
  const folder = mkdtempSync(join(tmpdir(), 'feast-'));
  const repository = join(folder, 'repository');
  mkdirSync(repository);
  await run(interpreter, [
    assetPath('bench/python/feast_features.py'),
    repository,
    `${redis.hostname}:${redis.port}`,
    String(entities),
  ]);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await startProcess({
    name: 'Feast',
    command: join(PYTHON, 'bin/feast'),
    args: ['-c', repository, 'serve', '--host', '127.0.0.1', '-p', String(port), '--no-access-log'],
    logFile: join(folder, 'server.log'),
    isReady: async () => (await fetch(`${url}/health`)).ok,
    readyWithinMs: 60_000,
  });
  const numbers = Array.from({ length: 10 }, (_, index) => `fifteen:number_${index}`);
  const counts = Array.from({ length: 4 }, (_, index) => `fifteen:count_${index}`);
  const features = [...numbers, ...counts, 'fifteen:category'];
  return {
    url,
    bodyFor: (some) => JSON.stringify({ features, entities: { user_id: some.map((entity) => `u${entity}`) } }),
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** @returns seconds that DuckDB's ASOF join takes, in memory, on two threads */
export async function duckdbAsofSeconds(labels: number, rows: number, keys: number): Promise<number> {
  const output = await run(await python(), [
    assetPath('bench/python/duckdb_asof.py'),
    ...[labels, rows, keys].map(String),
  ]);
  return (JSON.parse(output.trim().split('\n').at(-1) as string) as { readonly seconds: number }).seconds;
}
