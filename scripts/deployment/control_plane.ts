import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, type ManagedProcess, startProcess } from '#scripts/services/managed_process';
import { type ApiServer, startApiServer } from './api_server.ts';

/** The API of Kubernetes with the controllers and the scheduler that act on its objects. */
export interface ControlPlane {
  readonly api: ApiServer;
  readonly kubeconfig: string;
  stop(): Promise<void>;
}

/** A node that has not reported for so long is lost; its pods are evicted at once. */
const GRACE = '6s';

/** @param binaries - with kube-apiserver, kube-controller-manager, kube-scheduler and kubectl */
export async function startControlPlane(folder: string, binaries: string): Promise<ControlPlane> {
  const api = await startApiServer(folder, binaries);
  const kubeconfig = join(folder, 'kubeconfig');
  await writeFile(kubeconfig, JSON.stringify(configOf(api)), { mode: 0o600 });
  const started: ManagedProcess[] = [];
  const start = async (name: string, args: readonly string[]): Promise<void> => {
    const port = await freePort();
    started.push(
      await startProcess({
        ...{ name, command: join(binaries, name), logFile: join(folder, `${name}.log`) },
        args: [
          ...[`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--bind-address=127.0.0.1'],
          ...[`--secure-port=${port}`, ...args],
        ],
        isReady: async () => {
          const answer = await api.kubectl('--server', `https://127.0.0.1:${port}`, 'get', '--raw', '/healthz');
          return answer.trim() === 'ok';
        },
        readyWithinMs: 60_000,
      }),
    );
  };
  try {
    await start('kube-controller-manager', [
      `--service-account-private-key-file=${join(folder, 'sa.key')}`,
      `--node-monitor-grace-period=${GRACE}`,
      '--node-monitor-period=2s',
      '--horizontal-pod-autoscaler-sync-period=5s',
    ]);
    await start('kube-scheduler', []);
  } catch (error) {
    for (const each of started) await each.stop();
    await api.stop();
    throw error;
  }
  return {
    ...{ api, kubeconfig },
    async stop() {
      for (const each of started.reverse()) await each.stop();
      await api.stop();
    },
  };
}

const configOf = ({ url, token }: ApiServer): object => ({
  ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'rehearsal' },
  clusters: [{ name: 'rehearsal', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
  users: [{ name: 'admin', user: { token } }],
  contexts: [{ name: 'rehearsal', context: { cluster: 'rehearsal', user: 'admin' } }],
});
