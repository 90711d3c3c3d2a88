import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Response } from 'node-fetch';
import { messageOf } from '#kernel/errors';
import { InvalidModelError, RegistryUnavailableError } from '../errors.ts';
import { checkInnerPath } from '../folder_files.ts';
import type { MlflowConfig } from './config.ts';
import { fetchFollowing, RefusedRedirectError } from './redirects.ts';

/** An answer of MLflow that says no: its error code decides what to do. */
export class MlflowApiError extends RegistryUnavailableError {
  readonly status: number;
  readonly mlflowCode: string;

  constructor(operation: string, status: number, mlflowCode: string, message: string) {
    super(`MLflow refused ${operation} (${status} ${mlflowCode})`, new Error(message));
    this.status = status;
    this.mlflowCode = mlflowCode;
  }
}

/** Whether the requested thing does not exist. */
export function isMissing(error: unknown): boolean {
  if (!(error instanceof MlflowApiError)) return false;
  return (
    error.mlflowCode === 'RESOURCE_DOES_NOT_EXIST' ||
    (error.mlflowCode === 'INVALID_PARAMETER_VALUE' && /alias/.test(error.message))
  );
}

/** The most that an answer which is no artifact may have, bytes. */
const MOST_JSON = 64 * 1024 * 1024;
const ATTEMPTS = 5;
const FIRST_DELAY_MS = 100;
const API = '/api/2.0/mlflow';
const ARTIFACTS = '/api/2.0/mlflow-artifacts/artifacts';

type Query = Readonly<Record<string, string>>;

/** MLflow's REST API over node-fetch: timeouts, retries of what may pass, authentication. */
export class MlflowClient {
  readonly #config: Pick<MlflowConfig, 'timeoutMs' | 'maxArtifactBytes'>;
  /** Without a login, and without a slash at its end. */
  readonly #address: string;
  readonly #credentials: Readonly<Record<string, string>>;

  constructor(config: MlflowConfig) {
    this.#config = config;
    const address = new URL(config.trackingUri);
    const login = {
      ...(address.username === '' ? {} : { username: decodeURIComponent(address.username) }),
      ...(address.password === '' ? {} : { password: decodeURIComponent(address.password) }),
    };
    this.#credentials = authorization({ ...login, ...config });
    address.username = '';
    address.password = '';
    this.#address = address.href.replace(/\/+$/, '');
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#json<T>('GET', `${API}/${path}?${new URLSearchParams(query)}`);
  }

  post<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('POST', `${API}/${path}`, JSON.stringify(body));
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('PATCH', `${API}/${path}`, JSON.stringify(body));
  }

  delete<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('DELETE', `${API}/${path}`, JSON.stringify(body));
  }

  /** @param path - below the server's artifact root: `<experiment>/<run>/artifacts/model/MLmodel` */
  async putArtifact(path: string, content: Uint8Array | string): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    await this.#send(
      'PUT',
      `${ARTIFACTS}/${artifactPath(path)}`,
      typeof content === 'string' ? content : Buffer.from(content),
      headers,
    );
  }

  async getArtifact(path: string): Promise<Uint8Array> {
    const request = `${ARTIFACTS}/${artifactPath(path)}`;
    return this.#send('GET', request, undefined, {}, (response) =>
      bytesOf(response, path, this.#config.maxArtifactBytes),
    );
  }

  /** @param folder - below the server's artifact root. @returns the names of what lies there */
  async listArtifacts(folder: string): Promise<readonly string[]> {
    const { files = [] } = await this.#json<{ readonly files?: readonly { readonly path: string }[] }>(
      'GET',
      `${ARTIFACTS}?${new URLSearchParams({ path: checkInnerPath(folder, 'an artifact') })}`,
    );
    return files.map(({ path }) => path.split('/').at(-1) as string);
  }

  async #json<T>(method: string, path: string, body?: string): Promise<T> {
    const text = await this.#send(method, path, body, { 'content-type': 'application/json' }, async (response) =>
      Buffer.from(await bytesOf(response, 'the answer', MOST_JSON)).toString('utf8'),
    );
    return JSON.parse(text) as T;
  }

  /** @param read - reads the answer: a connection that breaks meanwhile is tried again as others are */
  async #send<T = undefined>(
    method: string,
    path: string,
    body?: string | Buffer,
    headers: Query = {},
    read: (response: Response) => Promise<T> = async () => undefined as T,
  ): Promise<T> {
    const operation = `${method} ${path.split('?')[0]}`;
    for (let attempt = 1; ; attempt += 1) {
      let failure: unknown;
      try {
        const init = {
          ...{ method, headers, signal: AbortSignal.timeout(this.#config.timeoutMs) },
          ...(body === undefined ? {} : { body }),
        };
        const response = await fetchFollowing(`${this.#address}${path}`, init, this.#credentials);
        if (response.ok) return await read(response);
        const refused = await refusal(operation, response);
        if (response.status < 500 && response.status !== 429) throw refused;
        failure = refused;
      } catch (error) {
        if (error instanceof InvalidModelError) throw error;
        if (error instanceof RefusedRedirectError) {
          throw new InvalidModelError([`MLflow at ${this.#address} failed at ${operation}: ${error.message}`], error);
        }
        if (error instanceof MlflowApiError && error.status < 500 && error.status !== 429) throw error;
        failure = error;
      }
      if (attempt === ATTEMPTS) {
        if (failure instanceof MlflowApiError) throw failure;
        throw new RegistryUnavailableError(`MLflow at ${this.#address} did not answer ${operation}`, failure);
      }
      await sleep(FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random() / 2));
    }
  }
}

/** A path below the artifact root, each part encoded: it can be no other than that. @throws {@link InvalidModelError} */
const artifactPath = (path: string): string =>
  checkInnerPath(path, 'an artifact').split('/').map(encodeURIComponent).join('/');

/** @throws {@link InvalidModelError} when there are more bytes than may be */
async function bytesOf(response: Response, what: string, most: number): Promise<Uint8Array> {
  const refuse = (): never => {
    throw new InvalidModelError([`${what} has more than ${most} bytes (registry.maxArtifactBytes)`]);
  };
  if (Number(response.headers.get('content-length') ?? 0) > most) {
    destroy(response);
    refuse();
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > most) {
      destroy(response);
      refuse();
    }
    chunks.push(chunk as Buffer);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function destroy({ body }: Response): void {
  if (body instanceof Readable) body.destroy();
}

async function refusal(operation: string, response: Response): Promise<MlflowApiError> {
  const text = await response.text().catch(messageOf);
  try {
    const { error_code: code = 'UNKNOWN', message = text } = JSON.parse(text) as {
      error_code?: string;
      message?: string;
    };
    return new MlflowApiError(operation, response.status, code, message);
  } catch {
    return new MlflowApiError(operation, response.status, 'UNKNOWN', text.slice(0, 200));
  }
}

function authorization({
  username,
  password,
  token,
}: Pick<MlflowConfig, 'username' | 'password' | 'token'>): Readonly<Record<string, string>> {
  if (token !== undefined) return { authorization: `Bearer ${token}` };
  if (username === undefined) return {};
  return { authorization: `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}` };
}
