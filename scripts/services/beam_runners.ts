import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, ensureDebianPackages, ensureMaven, once, run } from './install.ts';
import {
  acceptsConnections,
  freePort,
  type RunningServer,
  type StartedProcess,
  startProcess,
} from './managed_process.ts';

const PRISM = 'github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0';

/** Fetches Flink 1.19 with Beam's job server. @returns the folder of the jars */
export async function flinkJars(): Promise<string> {
  await once(JARS, 'fetching Flink 1.19 with the Beam job server 2.62.0', async () => {
    await ensureMaven();
    const pom = assetPath('scripts/services/flink_pom.xml');
    const scope = ['-DincludeScope=runtime', `-DoutputDirectory=${JARS}`];
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', ...scope]);
  });
  return JARS;
}

/** Folder of {@link flinkJars} within the cache. */
export const FLINK_JARS = 'flink-1.19-beam-2.62.0';
const JARS = join(cacheFolder, FLINK_JARS);
const OPENED = ['java.lang', 'java.util', 'java.nio', 'java.util.concurrent', 'java.time'];

/** Java's options for classes of Flink and Beam, once {@link flinkJars} has fetched them. */
export const flinkJava = (): readonly string[] => [
  '-XX:+UseSerialGC',
  ...OPENED.map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`),
  '-cp',
  `${JARS}/*`,
];

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
  await flinkJars();
  const { server, jobEndpoint } = await startJobServer(folder, '[local]');
  return { ...server, env: { TEST_FLINK_JOB_ENDPOINT: jobEndpoint } };
}

/** Starts Beam's job server before the Flink at `master`, host:port or `[local]`. */
export async function startJobServer(
  folder: string,
  master: string,
): Promise<{ readonly server: StartedProcess; readonly jobEndpoint: string }> {
  const [jobPort, artifactPort, expansionPort] = [await freePort(), await freePort(), await freePort()];
  const server = await startProcess({
    name: 'Flink job server',
    command: 'java',
    args: [
      '-Xmx1g',
      ...flinkJava(),
      'org.apache.beam.runners.flink.FlinkJobServerDriver',
      '--job-host=127.0.0.1',
      `--job-port=${jobPort}`,
      `--artifact-port=${artifactPort}`,
      `--expansion-port=${expansionPort}`,
      `--artifacts-dir=${join(folder, 'artifacts')}`,
      `--flink-master=${master}`,
    ],
    logFile: join(folder, 'flink.log'),
    isReady: () => acceptsConnections(jobPort),
    readyWithinMs: 60_000,
  });
  return { server, jobEndpoint: `127.0.0.1:${jobPort}` };
}
