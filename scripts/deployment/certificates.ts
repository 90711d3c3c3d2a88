import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '#scripts/services/install';

const DAYS = '2';

/** Makes an authority of its own in a folder: ca.crt and ca.key. */
export async function makeAuthority(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await run(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=authority',
      '-days',
      DAYS,
      '-keyout',
      'ca.key',
      '-out',
      'ca.crt',
    ],
    { cwd: folder },
  );
}

/** Makes NAME.crt and NAME.key, signed by the folder's authority, for servers and clients on this machine. */
export async function makeCertificate(folder: string, name: string, commonName: string): Promise<void> {
  const [key, request, extensions] = [`${name}.key`, `${name}.csr`, `${name}.ext`];
  await writeFile(
    join(folder, extensions),
    'subjectAltName = DNS:localhost, IP:127.0.0.1\nextendedKeyUsage = serverAuth, clientAuth\n',
  );
  await run(
    'openssl',
    ['req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${commonName}`, '-keyout', key, '-out', request],
    { cwd: folder },
  );
  await run(
    'openssl',
    [
      ...['x509', '-req', '-in', request, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', DAYS],
      ...['-extfile', extensions, '-out', `${name}.crt`],
    ],
    { cwd: folder },
  );
}
