import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** A certificate that nobody has signed, for two days, as files of `folder`. */
export function makeSelfSigned(folder: string, name: string): { readonly certFile: string; readonly keyFile: string } {
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', files.keyFile, '-out', files.certFile];
  execFileSync('openssl', ['req', '-x509', ...key, '-subj', `/CN=${name}`, '-days', '2'], { stdio: 'ignore' });
  return files;
}
