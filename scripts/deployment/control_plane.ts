import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { acceptsConnections, freePort, type ManagedProcess, startProcess } from '#scripts/services/managed_process';
import type { ApiServer } from './api_server.ts';

/** What acts on the objects of an API server. */
export interface Controllers {
  /** Of an administrator. */
  readonly kubeconfig: string;
  /** Starts another program that acts on the objects; `stop` ends it too. */
  start(name: string, command: string, args: (port: number) => readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the controllers and the scheduler of Kubernetes.
 *
 * @param folder - of the API server
 * @param binaries - with kube-controller-manager and kube-scheduler
 * @param managerArgs - of kube-controller-manager
 */
export async function startControllers(
  { url, token }: ApiServer,
  folder: string,
  binaries: string,
  managerArgs: readonly string[] = [],
): Promise<Controllers> {
  const kubeconfig = join(folder, 'kubeconfig');
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'admin' },
    clusters: [{ name: 'local', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'admin', context: { cluster: 'local', user: 'admin' } }],
  };
  await writeFile(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  const started: ManagedProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const each of started.splice(0).reverse()) await each.stop();
  };
  const start: Controllers['start'] = async (name, command, args) => {
    const port = await freePort();
    started.push(
      await startProcess({
        ...{ name, command, args: [`--kubeconfig=${kubeconfig}`, ...args(port)], logFile: join(folder, `${name}.log`) },
        ...{ isReady: () => acceptsConnections(port), readyWithinMs: 60_000 },
      }),
    );
  };
  const secure = (port: number) => ['--leader-elect=false', '--bind-address=127.0.0.1', `--secure-port=${port}`];
  try {
    await start('kube-controller-manager', join(binaries, 'kube-controller-manager'), (port) => [
      ...[`--service-account-private-key-file=${join(folder, 'sa.key')}`, ...managerArgs],
      ...secure(port),
    ]);
    await start('kube-scheduler', join(binaries, 'kube-scheduler'), secure);
  } catch (error) {
    await stop();
    throw error;
  }
  return { kubeconfig, start, stop };
}
