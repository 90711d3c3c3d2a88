import { messageOf } from '#kernel/errors';
import { RunnerUnavailableError } from '../portable/errors.ts';
import { JobRequestFailedError } from './errors.ts';

const REQUEST_TIMEOUT_MS = 30_000;

/** A client of the REST API that a Flink JobManager has (Flink 1.19, docs/ops/rest_api). */
export class FlinkRest {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url.replace(/\/+$/, '');
  }

  /**
   * @throws RunnerUnavailableError when it does not answer
   * @throws {@link JobRequestFailedError} with the reason that it gave
   */
  async get<T>(path: string, doing: string): Promise<T> {
    return (await (await this.#request('GET', path, doing)).json()) as T;
  }

  /** Reads a log file; undefined where the process has none. */
  async text(path: string, doing: string): Promise<string | undefined> {
    try {
      return await (await this.#request('GET', path, doing)).text();
    } catch (error) {
      if (error instanceof JobRequestFailedError) return undefined;
      throw error;
    }
  }

  async send<T>(method: 'POST' | 'PATCH', path: string, doing: string, body?: object): Promise<T> {
    return (await (await this.#request(method, path, doing, body)).json()) as T;
  }

  async #request(method: string, path: string, doing: string, body?: object): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.#url}${path}`, {
        method,
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new RunnerUnavailableError(this.#url, doing, cause);
    }
    if (response.ok) return response;
    throw new JobRequestFailedError(doing, reasonOf(await response.text(), response.status));
  }
}

/** The first line of the innermost exception that Flink's answer holds. */
function reasonOf(answer: string, status: number): string {
  try {
    const { errors = [] } = JSON.parse(answer) as { readonly errors?: readonly string[] };
    return rootCause(errors.join('\n')) || `HTTP ${status}`;
  } catch (error) {
    return answer.trim().slice(0, 200) || `HTTP ${status}: ${messageOf(error)}`;
  }
}

/** Returns the message of the innermost exception of a Java stack trace, without the names of its classes. */
export function rootCause(stackTrace: string): string {
  const lines = stackTrace.split('\n').filter((line) => line.trim() !== '' && !/^\s*(at |\.\.\. \d)/.test(line));
  const last = lines.filter((line) => line.startsWith('Caused by:')).at(-1) ?? lines[0] ?? '';
  return last
    .replace(/^Caused by: /, '')
    .replace(/^([\w$]+\.)+[\w$]+(Exception|Error|Throwable)?: /, '')
    .replace(/ ?<Exception on server side:$/, '')
    .trim();
}
