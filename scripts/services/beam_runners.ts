import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import type { OptionValue } from '#pipelines/runner/portable/job_client';
import { cacheFolder, once, run } from './install.ts';
import { acceptsConnections, freePort, type ManagedProcess, startProcess } from './managed_process.ts';
import { ensureMaven } from './servers.ts';

/** Flink 1.19 with Beam's job server, once fetched. */
export const flinkJars = join(cacheFolder, 'flink-1.19-beam-2.62.0');

const PRISM = 'github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0';

export interface BeamRunner {
  readonly jobEndpoint: string;
  readonly runnerOptions: Readonly<Record<string, OptionValue>>;
}

export interface StartedRunners extends ManagedProcess {
  /** @throws when it was not started */
  runner(name: string): BeamRunner;
}

interface Started extends BeamRunner, ManagedProcess {}

/**
 * Starts runners that take jobs over Beam's job API, on free local ports; TEST_PRISM_JOB_ENDPOINT and TEST_FLINK_JOB_ENDPOINT name
 * some that run already.
 */
export async function startBeamRunners(names: readonly string[]): Promise<StartedRunners> {
  const folder = await mkdtemp(join(tmpdir(), 'beam-runners-'));
  const started = new Map<string, Started>();
  const stop = async (): Promise<void> => {
    await Promise.all([...started.values()].map((runner) => runner.stop()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (const name of names) {
      const given = process.env[`TEST_${name.toUpperCase()}_JOB_ENDPOINT`];
      if (given !== undefined) {
        started.set(name, { jobEndpoint: given, runnerOptions: OPTIONS[name] ?? {}, stop: async () => {} });
        continue;
      }
      const start = STARTERS[name];
      if (start === undefined) throw new RangeError(`no runner is called "${name}"`);
      started.set(name, await start(folder));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    runner(name) {
      const runner = started.get(name);
      if (runner === undefined) throw new RangeError(`runner "${name}" was not started`);
      return runner;
    },
  };
}

const OPTIONS: Readonly<Record<string, BeamRunner['runnerOptions']>> = {
  flink: {
    ...FLINK_DEFAULTS,
    parallelism: 1,
    checkpointing_interval: 1_000,
    streaming: true,
    shutdown_sources_after_idle_ms: 500,
    // A TestStream does not wait here for what it has emitted: with larger bundles its steps would run into each other.
    max_bundle_size: 1,
    number_of_execution_retries: 0,
  },
};

const STARTERS: Readonly<Record<string, (folder: string) => Promise<Started>>> = {
  async prism(folder) {
    const bin = join(cacheFolder, 'prism-2.77.0');
    await once(bin, 'building Prism 2.77.0', async () => {
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
    return { ...server, jobEndpoint: `127.0.0.1:${jobPort}`, runnerOptions: {} };
  },

  async flink(folder) {
    const jars = flinkJars;
    await once(jars, 'fetching Flink 1.19 with the Beam job server 2.62.0', async () => {
      await ensureMaven();
      const pom = assetPath('scripts/services/flink_pom.xml');
      const scope = ['-DincludeScope=runtime', `-DoutputDirectory=${jars}`];
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
        `${jars}/*`,
        'org.apache.beam.runners.flink.FlinkJobServerDriver',
        '--job-host=127.0.0.1',
        `--job-port=${jobPort}`,
        `--artifact-port=${artifactPort}`,
        `--expansion-port=${expansionPort}`,
        `--artifacts-dir=${join(folder, 'flink-artifacts')}`,
        '--flink-master=[local]',
      ],
      logFile: join(folder, 'flink.log'),
      isReady: () => acceptsConnections(jobPort),
      readyWithinMs: 60_000,
    });
    return { ...server, jobEndpoint: `127.0.0.1:${jobPort}`, runnerOptions: OPTIONS.flink ?? {} };
  },
};
