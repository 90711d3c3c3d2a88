import { setTimeout as sleep } from 'node:timers/promises';
import fetch, { type Response } from 'node-fetch';
import { z } from 'zod';
import { messageOf } from '#kernel/errors';
import { RegistryUnavailableError } from '../errors.ts';

export const mlflowConfigSchema = z.strictObject({
  kind: z.literal('mlflow'),
  /** MLFLOW_TRACKING_URI: http(s)://host:port. */
  trackingUri: z.url({ protocol: /^https?$/ }),
  experimentName: z.string().min(1).default('headwater'),
  username: z.string().optional(),
  password: z.string().optional(),
  token: z.string().optional(),
  timeoutMs: z.int().positive().default(30_000),
});
export type MlflowConfig = z.infer<typeof mlflowConfigSchema>;

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

/** Whether what was asked for is not there. */
export function isMissing(error: unknown): boolean {
  if (!(error instanceof MlflowApiError)) return false;
  return (
    error.mlflowCode === 'RESOURCE_DOES_NOT_EXIST' ||
    (error.mlflowCode === 'INVALID_PARAMETER_VALUE' && /alias/.test(error.message))
  );
}

const ATTEMPTS = 5;
const FIRST_DELAY_MS = 100;
const API = '/api/2.0/mlflow';
const ARTIFACTS = '/api/2.0/mlflow-artifacts/artifacts';

type Query = Readonly<Record<string, string>>;

/** MLflow's REST API over node-fetch: timeouts, retries of what may pass, authentication. */
export class MlflowClient {
  readonly #config: MlflowConfig;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(config: MlflowConfig) {
    this.#config = config;
    this.#headers = authorization(config);
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
      `${ARTIFACTS}/${path}`,
      typeof content === 'string' ? content : Buffer.from(content),
      headers,
    );
  }

  async getArtifact(path: string): Promise<Uint8Array> {
    const response = await this.#send('GET', `${ARTIFACTS}/${path}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  /** @param folder - below the server's artifact root. @returns the names of what lies there */
  async listArtifacts(folder: string): Promise<readonly string[]> {
    const { files = [] } = await this.#json<{ readonly files?: readonly { readonly path: string }[] }>(
      'GET',
      `${ARTIFACTS}?${new URLSearchParams({ path: folder })}`,
    );
    return files.map(({ path }) => path.split('/').at(-1) as string);
  }

  async #json<T>(method: string, path: string, body?: string): Promise<T> {
    const response = await this.#send(method, path, body, { 'content-type': 'application/json' });
    return (await response.json()) as T;
  }

  async #send(method: string, path: string, body?: string | Buffer, headers: Query = {}): Promise<Response> {
    const operation = `${method} ${path.split('?')[0]}`;
    for (let attempt = 1; ; attempt += 1) {
      let failure: unknown;
      try {
        const response = await fetch(`${this.#config.trackingUri.replace(/\/$/, '')}${path}`, {
          method,
          headers: { ...this.#headers, ...headers },
          ...(body === undefined ? {} : { body }),
          signal: AbortSignal.timeout(this.#config.timeoutMs),
        });
        if (response.ok) return response;
        const refused = await refusal(operation, response);
        if (response.status < 500 && response.status !== 429) throw refused;
        failure = refused;
      } catch (error) {
        if (error instanceof MlflowApiError && error.status < 500 && error.status !== 429) throw error;
        failure = error;
      }
      if (attempt === ATTEMPTS) {
        if (failure instanceof MlflowApiError) throw failure;
        throw new RegistryUnavailableError(
          `MLflow at ${this.#config.trackingUri} did not answer ${operation}`,
          failure,
        );
      }
      await sleep(FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random() / 2));
    }
  }
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

function authorization({ username, password, token }: MlflowConfig): Readonly<Record<string, string>> {
  if (token !== undefined) return { authorization: `Bearer ${token}` };
  if (username === undefined) return {};
  return { authorization: `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}` };
}
