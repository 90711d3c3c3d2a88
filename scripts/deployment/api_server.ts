import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '#scripts/services/install';
import { acceptsConnections, freePort, startProcess } from '#scripts/services/managed_process';
import { makeAuthority, makeCertificate } from './certificates.ts';

/** The API of Kubernetes with nothing behind it but etcd: it takes or refuses objects as a cluster does. */
export interface ApiServer {
  readonly url: string;
  /** The certificate of the server. */
  readonly caFile: string;
  /** Of an administrator. */
  readonly token: string;
  kubectl(...args: readonly string[]): Promise<string>;
  /** Kills the server as a crash does, and starts it again on what etcd has. */
  restart(downMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** @param binaries - with kube-apiserver and kubectl */
export async function startApiServer(folder: string, binaries: string): Promise<ApiServer> {
  const [port, client, peer] = [await freePort(), await freePort(), await freePort()];
  const at = (name: string): string => join(folder, name);
  await mkdir(at('etcd'), { recursive: true });
  const token = randomBytes(16).toString('hex');
  await writeFile(at('tokens.csv'), `${token},admin,admin,system:masters\n`, { mode: 0o600 });
  await run('openssl', ['genrsa', '-out', at('sa.key'), '2048']);
  await makeAuthority(at('front'));
  await makeCertificate(at('front'), 'proxy', 'front-proxy-client');
  const etcd = await startProcess({
    ...{ name: 'etcd', command: 'etcd', logFile: at('etcd.log') },
    args: [
      ...['--data-dir', at('etcd'), '--unsafe-no-fsync'],
      ...[
        '--listen-client-urls',
        `http://127.0.0.1:${client}`,
        '--advertise-client-urls',
        `http://127.0.0.1:${client}`,
      ],
      ...[
        '--listen-peer-urls',
        `http://127.0.0.1:${peer}`,
        '--initial-advertise-peer-urls',
        `http://127.0.0.1:${peer}`,
      ],
      ...['--initial-cluster', `default=http://127.0.0.1:${peer}`],
    ],
    isReady: () => acceptsConnections(client),
    readyWithinMs: 30_000,
  });
  const kubectl = (...args: readonly string[]): Promise<string> =>
    run(join(binaries, 'kubectl'), [
      ...[
        '--server',
        `https://127.0.0.1:${port}`,
        '--insecure-skip-tls-verify',
        '--token',
        token,
        '--kubeconfig',
        '/dev/null',
      ],
      ...args,
    ]);
  const server = await startProcess({
    ...{ name: 'kube-apiserver', command: join(binaries, 'kube-apiserver'), logFile: at('apiserver.log') },
    args: [
      ...[`--etcd-servers=http://127.0.0.1:${client}`, '--bind-address=127.0.0.1', `--secure-port=${port}`],
      ...[`--cert-dir=${at('certs')}`, `--service-account-key-file=${at('sa.key')}`],
      ...[`--service-account-signing-key-file=${at('sa.key')}`, `--service-account-issuer=https://127.0.0.1:${port}`],
      ...[
        '--service-cluster-ip-range=10.0.0.0/24',
        `--token-auth-file=${at('tokens.csv')}`,
        '--authorization-mode=RBAC',
      ],
      ...['--anonymous-auth=false', '--disable-admission-plugins=ServiceAccount'],
      // Requests to APIs of others are handed on with the caller's name.
      ...[`--requestheader-client-ca-file=${at('front/ca.crt')}`, '--requestheader-allowed-names=front-proxy-client'],
      ...['--requestheader-username-headers=X-Remote-User', '--requestheader-group-headers=X-Remote-Group'],
      ...['--requestheader-extra-headers-prefix=X-Remote-Extra-'],
      ...[`--proxy-client-cert-file=${at('front/proxy.crt')}`, `--proxy-client-key-file=${at('front/proxy.key')}`],
    ],
    isReady: async () => (await kubectl('get', '--raw', '/readyz')).trim() === 'ok',
    readyWithinMs: 120_000,
  });
  return {
    ...{ url: `https://127.0.0.1:${port}`, caFile: at('certs/apiserver.crt') },
    ...{ token, kubectl },
    restart: (downMs) => server.restart(downMs),
    async stop() {
      await server.stop();
      await etcd.stop();
    },
  };
}
