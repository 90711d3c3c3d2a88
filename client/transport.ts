import {
  AnswerTimeoutError,
  type FieldProblem,
  NoAnswerError,
  RequestFailedError,
  UnreadableAnswerError,
} from './errors.ts';

/** How requests reach the platform. */
export interface TransportOptions {
  /** An API key or a JWT, sent as `Authorization: Bearer …`; a function is called for each request. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** A request that takes longer fails with {@link AnswerTimeoutError}, ms; default: 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Another `fetch`, such as one that retries. */
  readonly fetch?: typeof fetch | undefined;
}

export interface RequestOptions {
  /** Cancels the request. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 10_000;

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly fields?: readonly FieldProblem[];
}

/** Sends JSON to one listener and reads its answers. */
export class Transport {
  readonly #baseUrl: string;
  readonly #options: TransportOptions;

  constructor(baseUrl: string, options: TransportOptions) {
    this.#baseUrl = baseUrl.replace(/\/+$/, '');
    this.#options = options;
  }

  get<T>(path: string, options: RequestOptions = {}): Promise<T> {
    return this.#send('GET', path, undefined, options);
  }

  post<T>(path: string, body: unknown, options: RequestOptions = {}): Promise<T> {
    return this.#send('POST', path, JSON.stringify(body), options);
  }

  async #send<T>(method: string, path: string, body: string | undefined, { signal }: RequestOptions): Promise<T> {
    const { token, timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = fetch } = this.#options;
    const url = `${this.#baseUrl}${path}`;
    const request = `${method} ${url}`;
    const headers: Record<string, string> = { accept: 'application/json' };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const secret = typeof token === 'function' ? await token() : token;
    if (secret !== undefined) headers.authorization = `Bearer ${secret}`;
    const deadline = AbortSignal.timeout(timeoutMs);
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    let response: Response;
    let text: string;
    try {
      response = await send(url, { method, headers, signal: either, ...(body === undefined ? {} : { body }) });
      text = await response.text();
    } catch (error) {
      signal?.throwIfAborted();
      if (deadline.aborted) throw new AnswerTimeoutError(request, timeoutMs, error);
      throw new NoAnswerError(request, reasonOf(error), error);
    }
    const { ok, status } = response;
    const answer = parsed(text);
    if (ok && answer !== undefined) return answer as T;
    if (ok) throw new UnreadableAnswerError(request, status);
    const { code = `HTTP_${status}`, detail = `status ${status}`, fields } = (answer ?? {}) as Problem;
    const requestId = response.headers.get('x-request-id') ?? undefined;
    throw new RequestFailedError(request, status, { code, message: detail, fields }, requestId);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The reason of a failed `fetch` is in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { readonly message?: string; readonly cause?: { readonly message?: string } };
  return cause?.message || message || String(error);
}
