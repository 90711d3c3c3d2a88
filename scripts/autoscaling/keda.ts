import { join } from 'node:path';
import { acceptsConnections, freePort, type ManagedProcess, startProcess } from '#scripts/services/managed_process';
import type { ApiServer } from '../deployment/api_server.ts';
import { makeAuthority, makeCertificate } from '../deployment/certificates.ts';
import { registerApi } from './register_api.ts';

/**
 * Starts KEDA's operator and its metrics API as processes beside an API server, which hands requests for external metrics on to them.
 *
 * @param kubeconfig - of an administrator
 * @param binaries - with operator and adapter
 */
export async function startKeda(
  api: ApiServer,
  folder: string,
  kubeconfig: string,
  binaries: string,
): Promise<Pick<ManagedProcess, 'stop'>> {
  const certs = join(folder, 'keda');
  await makeAuthority(certs);
  await makeCertificate(certs, 'tls', 'keda');
  const [grpc, metrics, probe] = [await freePort(), await freePort(), await freePort()];
  const [secure, adapterMetrics] = [await freePort(), await freePort()];
  await registerApi(api, folder, {
    ...{ group: 'external.metrics.k8s.io', version: 'v1beta1', port: secure },
    ...{ namespace: 'keda', service: 'keda-metrics-apiserver' },
  });
  const env = {
    KUBECONFIG: kubeconfig,
    WATCH_NAMESPACE: '',
    POD_NAMESPACE: 'keda',
    KEDA_CLUSTER_OBJECT_NAMESPACE: 'keda',
  };
  const operator = await startProcess({
    ...{ name: 'keda-operator', command: join(binaries, 'operator'), env, logFile: join(folder, 'keda-operator.log') },
    args: [
      ...[`--metrics-service-bind-address=127.0.0.1:${grpc}`, `--metrics-bind-address=127.0.0.1:${metrics}`],
      ...[`--health-probe-bind-address=127.0.0.1:${probe}`, `--cert-dir=${certs}`, '--enable-webhook-patching=false'],
    ],
    ...{ isReady: () => acceptsConnections(grpc), readyWithinMs: 60_000 },
  });
  try {
    const adapter = await startProcess({
      ...{ name: 'keda-adapter', command: join(binaries, 'adapter'), env, logFile: join(folder, 'keda-adapter.log') },
      args: [
        ...[`--secure-port=${secure}`, '--bind-address=127.0.0.1', `--port=${adapterMetrics}`, '--logtostderr=true'],
        ...[`--metrics-service-address=localhost:${grpc}`, `--cert-dir=${certs}`, `--client-ca-file=${certs}/ca.crt`],
        ...[`--tls-cert-file=${certs}/tls.crt`, `--tls-private-key-file=${certs}/tls.key`],
        ...[`--authentication-kubeconfig=${kubeconfig}`, `--authorization-kubeconfig=${kubeconfig}`],
        `--lister-kubeconfig=${kubeconfig}`,
      ],
      isReady: async () =>
        (await api.kubectl('get', '--raw', '/apis/external.metrics.k8s.io/v1beta1')).includes('external.metrics'),
      readyWithinMs: 60_000,
    });
    return {
      stop: async () => {
        await adapter.stop();
        await operator.stop();
      },
    };
  } catch (error) {
    await operator.stop();
    throw error;
  }
}
