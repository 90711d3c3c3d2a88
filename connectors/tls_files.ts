import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { ConnectionError } from './errors.ts';

/** PEM files of a connection, by path. */
export interface TlsFiles {
  /** Authorities to trust instead of the system's. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name that the server's certificate must have, when it is not the one connected to. */
  readonly serverName?: string | undefined;
}

/** Reads the files for `node:tls`. @throws {@link ConnectionError} naming the file that cannot be read */
export function readTlsFiles({ ca, cert, key, serverName }: TlsFiles): ConnectionOptions {
  return {
    ...(ca === undefined ? {} : { ca: readPem(ca) }),
    ...(cert === undefined ? {} : { cert: readPem(cert) }),
    ...(key === undefined ? {} : { key: readPem(key) }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConnectionError(`the certificate file ${path}`, error);
  }
}
