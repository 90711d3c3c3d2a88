import { readFile } from 'node:fs/promises';
import { request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import { KubernetesError } from '../errors.ts';

export interface KubernetesSettings {
  /** Address of the API server. */
  readonly server: string;
  readonly namespace: string;
  /** Token of the service account: read for each request, because the cluster renews it. */
  readonly tokenFile: string;
  /** Certificates that the API server's is signed with. */
  readonly caFile: string;
}

/** A request to the API of Kubernetes in one namespace. */
export type KubernetesApi = <T>(
  method: 'GET' | 'POST' | 'DELETE',
  /** Below the namespace: `jobs/step-1`. */
  path: string,
  body?: object,
) => Promise<T>;

const LONGEST_MS = 10_000;

/**
 * Returns a client of the group batch/v1 of the API of Kubernetes, with the token of a service account. Requests have 10 s.
 *
 * @throws {@link KubernetesError} with the status of the answer; 0 where there was none
 */
export function kubernetesApi({ server, namespace, tokenFile, caFile }: KubernetesSettings): KubernetesApi {
  const isSecure = server.startsWith('https:');
  const send = isSecure ? secureRequest : plainRequest;
  return async <T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T> => {
    const url = new URL(`/apis/batch/v1/namespaces/${namespace}/${path}`, server);
    const [token, ca] = await Promise.all([
      readFile(tokenFile, 'utf8'),
      isSecure ? readFile(caFile, 'utf8') : Promise.resolve(undefined),
    ]).catch((error: unknown) => {
      throw new KubernetesError(method, url.pathname, 0, 'the files of the service account cannot be read', error);
    });
    const headers = { authorization: `Bearer ${token.trim()}`, 'content-type': 'application/json' };
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = send(url, { method, headers, ca, signal: AbortSignal.timeout(LONGEST_MS) }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
        answer.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    }).catch((error: unknown) => {
      throw new KubernetesError(method, url.pathname, 0, error instanceof Error ? error.message : 'no answer', error);
    });
    if (status < 200 || status > 299) throw new KubernetesError(method, url.pathname, status, messageIn(text));
    return JSON.parse(text) as T;
  };
}

function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Something in front of the API server answered.
  }
  return text.slice(0, 200);
}
