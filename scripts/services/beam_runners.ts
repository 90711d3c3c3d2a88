import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, ensureDebianPackages, ensureMaven, once, run } from './install.ts';
import { acceptsConnections, freePort, type RunningServer, startProcess } from './managed_process.ts';

const PRISM = 'github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0';

/** Flink 1.19 with Beam's job server, once fetched. */
export const flinkJars = join(cacheFolder, 'flink-1.19-beam-2.62.0');

/** Beam's Prism runner, on a free local port. */
export async function startPrism(folder: string): Promise<RunningServer> {
  const bin = join(cacheFolder, 'prism-2.77.0');
  await once(bin, 'building Prism 2.77.0', async () => {
    await run('go', ['version']).catch(() => ensureDebianPackages(['golang-go'], ['/usr/bin/go']));
    await run('go', ['install', PRISM], { env: { GOBIN: bin } });
  });
  const [jobPort, webPort] = [await freePort(), await freePort()];
  const server = await startProcess({
    name: 'Prism',
    command: join(bin, 'prism'),
    args: ['--job_port', String(jobPort), '--web_port', String(webPort), '--serve_http=false'],
    logFile: join(folder, 'prism.log'),
    isReady: () => acceptsConnections(jobPort),
    readyWithinMs: 30_000,
  });
  return { ...server, env: { TEST_PRISM_JOB_ENDPOINT: `127.0.0.1:${jobPort}` } };
}

/** Beam's job server with a Flink of its own, on free local ports. */
export async function startFlinkJobServer(folder: string): Promise<RunningServer> {
  await once(flinkJars, 'fetching Flink 1.19 with the Beam job server 2.62.0', async () => {
    await ensureMaven();
    const pom = assetPath('scripts/services/flink_pom.xml');
    const scope = ['-DincludeScope=runtime', `-DoutputDirectory=${flinkJars}`];
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', ...scope]);
  });
  const [jobPort, artifactPort, expansionPort] = [await freePort(), await freePort(), await freePort()];
  const opens = ['java.lang', 'java.util', 'java.nio'].map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`);
  const server = await startProcess({
    name: 'Flink job server',
    command: 'java',
    args: [
      '-XX:+UseSerialGC',
      '-Xmx1g',
      ...opens,
      '-cp',
      `${flinkJars}/*`,
      'org.apache.beam.runners.flink.FlinkJobServerDriver',
      '--job-host=127.0.0.1',
      `--job-port=${jobPort}`,
      `--artifact-port=${artifactPort}`,
      `--expansion-port=${expansionPort}`,
      `--artifacts-dir=${join(folder, 'artifacts')}`,
      '--flink-master=[local]',
    ],
    logFile: join(folder, 'flink.log'),
    isReady: () => acceptsConnections(jobPort),
    readyWithinMs: 60_000,
  });
  return { ...server, env: { TEST_FLINK_JOB_ENDPOINT: `127.0.0.1:${jobPort}` } };
}
