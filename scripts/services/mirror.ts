import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { cacheFolder, ensureMaven, once, run } from './install.ts';
import { type ManagedProcess, startProcess } from './managed_process.ts';

const PROPERTIES = assetPath('k8s/components/mirror/mirror.properties');
const READY_WITHIN_MS = 120_000;

export interface MirroredFrom {
  /** Name of the other region. */
  readonly region: string;
  readonly brokers: string;
}

/**
 * Starts Kafka's MirrorMaker 2 with the properties of `k8s/components/mirror`.
 *
 * @param folder - for its log
 * @param brokers - those it writes to
 */
export async function startMirror(folder: string, brokers: string, from: MirroredFrom): Promise<ManagedProcess> {
  const jars = join(cacheFolder, 'kafka-mirror-4.1.2');
  await once(jars, 'fetching MirrorMaker 4.1.2', async () => {
    await ensureMaven();
    const pom = assetPath('scripts/services/mirror_pom.xml');
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`]);
  });
  const logFile = join(folder, `mirror-from-${from.region}.log`);
  return startProcess({
    ...{ name: 'MirrorMaker', command: 'java', cwd: folder, logFile },
    args: [
      ...['-Xms64m', '-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', `${jars}/*`],
      // That it has started is logged at this level.
      '-Dorg.apache.logging.log4j.level=INFO',
      ...['org.apache.kafka.connect.mirror.MirrorMaker', PROPERTIES],
    ],
    env: {
      ...{ MIRROR_SOURCE_BROKERS: from.brokers, MIRROR_TARGET_BROKERS: brokers },
      ...{ MIRROR_SOURCE_SECURITY_PROTOCOL: 'PLAINTEXT', MIRROR_TARGET_SECURITY_PROTOCOL: 'PLAINTEXT' },
      ...{ MIRROR_SOURCE_JAAS: '', MIRROR_TARGET_JAAS: '', MIRROR_REPLICATION_FACTOR: '1' },
      ...{ MIRROR_TOPICS: 'raw-events, predictions', MIRROR_OWN_GROUPS: 'headwater-.*' },
    },
    isReady: async () => (await readFile(logFile, 'utf8')).includes('Kafka MirrorMaker started'),
    readyWithinMs: READY_WITHIN_MS,
  });
}
