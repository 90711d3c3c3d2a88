import {
  AnswerTimeoutError,
  ClientError,
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
  /**
   * How often a request is repeated that had no answer, or one that says to try later (429, 502, 503, 504); default: 2. Repeating is safe: events have ids, rows of features
   * and feedback replace themselves, and a repeated prediction has the id of its request.
   */
  readonly retries?: number | undefined;
  /** Another `fetch`. */
  readonly fetch?: typeof fetch | undefined;
}

/** Settings of one request. */
export interface RequestOptions {
  /** Cancels the request. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_RETRIES = 2;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

/** Returns 128 random bits. `crypto.randomUUID` is missing in pages that were not loaded by HTTPS. */
export const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Resolves after a time; rejects with the reason of `signal` as soon as it is aborted. */
const waited = (waitMs: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, waitMs);
    signal?.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });

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

  async #send<T>(method: string, path: string, body: string | undefined, options: RequestOptions): Promise<T> {
    const { retries = DEFAULT_RETRIES } = this.#options;
    const requestId = randomId();
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#try(method, path, body, requestId, options);
      } catch (error) {
        if (attempt >= retries || !(error instanceof ClientError) || !error.retryable) throw error;
        const backOff = FIRST_WAIT_MS * 2 ** attempt * (0.5 + Math.random() / 2);
        const asked = error instanceof RequestFailedError ? (error.retryAfterMs ?? 0) : 0;
        if (asked > LONGEST_WAIT_MS) throw error;
        await waited(Math.max(asked, backOff), options.signal);
      }
    }
  }

  async #try<T>(
    method: string,
    path: string,
    body: string | undefined,
    ownId: string,
    { signal }: RequestOptions,
  ): Promise<T> {
    const { token, timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = fetch } = this.#options;
    const url = `${this.#baseUrl}${path}`;
    const request = `${method} ${url}`;
    const headers: Record<string, string> = { accept: 'application/json', 'x-request-id': ownId };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const secret = typeof token === 'function' ? await token() : token;
    if (secret !== undefined) headers.authorization = `Bearer ${secret}`;
    // AbortSignal.any is missing in some edge runtimes.
    const stop = new AbortController();
    const cancel = (): void => stop.abort(signal?.reason);
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      stop.abort();
    }, timeoutMs);
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
    let response: Response;
    let text: string;
    try {
      response = await send(url, { method, headers, signal: stop.signal, ...(body === undefined ? {} : { body }) });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (isLate) throw new AnswerTimeoutError(request, timeoutMs, error);
      throw new NoAnswerError(request, reasonOf(error), error);
    } finally {
      clearTimeout(deadline);
      signal?.removeEventListener('abort', cancel);
    }
    const { ok, status } = response;
    const answer = parsed(text);
    if (ok && answer !== undefined) return answer as T;
    if (ok) throw new UnreadableAnswerError(request, status);
    const { code = `HTTP_${status}`, detail = `status ${status}`, fields } = (answer ?? {}) as Problem;
    const requestId = response.headers.get('x-request-id') ?? undefined;
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
    const retryAfterMs = Number.isFinite(seconds) ? seconds * 1_000 : undefined;
    throw new RequestFailedError(request, status, { code, message: detail, fields }, requestId, retryAfterMs);
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
