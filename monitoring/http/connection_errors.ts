import { IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { BrokenRequestError } from '../errors.ts';
import { type Failure, failureOf, formFor, PROBLEM_TYPE, problemOf } from './error_answer.ts';
import { headerProblem, REQUEST_ID, requestIdIn } from './request_headers.ts';

// Requests that Node's parser refuses, or answers by itself without a word: they get the answers of any other request. See node:http, events "clientError",
// "checkExpectation" and "connect".

/** The newest response of a connection; responses leave in the order of their requests. */
const NEWEST = Symbol('newest response');
interface TrackedSocket extends Socket {
  [NEWEST]?: ServerResponse;
}

/** The others that Node's parser knows differ from release to release, and some of them have bodies. */
const METHODS_OF_ROUTES: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** What routes are looked up by instead of a method that no route can have. */
const METHOD_WITHOUT_ROUTES = 'TRACE';
const sentMethods = new WeakMap<IncomingMessage, string>();

/** The method as the client sent it. */
export const methodOf = (request: IncomingMessage): string => sentMethods.get(request) ?? (request.method as string);

const STATUS_OF_BROKEN: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** For the client to read the answer, before the connection is cut. */
const LINGER_MS = 500;
/** For answers to earlier requests of a connection, ms. */
const PATIENCE_MS = 30_000;

interface ParserError extends NodeJS.ErrnoException {
  /** What the parser had before it, of any number of requests. */
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
}

/** Answers on connections of one listener what its application never gets to see. */
export class ConnectionErrors {
  readonly #app: FastifyInstance;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #broken = new WeakSet<Socket>();

  /** @param headers - of every answer */
  constructor(app: FastifyInstance, headers: Readonly<Record<string, string>>) {
    this.#app = app;
    this.#headers = headers;
    const { server } = app;
    server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
      (request.socket as TrackedSocket)[NEWEST] = response;
      if (!METHODS_OF_ROUTES.has(request.method as string)) replaceMethod(request);
    });
    // The application refuses what it is not, as any other header.
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
      server.emit('request', request, response),
    );
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      if (headerProblem(request) === undefined) response.writeContinue();
      server.emit('request', request, response);
    });
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      replaceMethod(request);
      void this.#afterEarlier(socket).then(() => this.#route(request, socket));
    });
  }

  /** For the event `clientError`. */
  answer(error: ParserError, socket: Socket): void {
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
      socket.destroy();
      return;
    }
    // The parser reports each further piece of the connection again.
    if (this.#broken.has(socket)) return;
    this.#broken.add(socket);
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.once('close', () => clearTimeout(timer));
    const newest = (socket as TrackedSocket)[NEWEST];
    if (newest !== undefined && !newest.req.complete && !newest.writableFinished) {
      this.#failBody(error, newest, socket);
      return;
    }
    void this.#afterEarlier(socket).then(() => {
      if (!socket.destroyed) this.#answerHead(error, socket);
    });
  }

  /** Fails the request whose body is broken where the body is read, so that its route answers. */
  #failBody(error: ParserError, response: ServerResponse, socket: Socket): void {
    const { req } = response;
    response.shouldKeepAlive = false;
    response.once('close', () => finish(socket));
    if (req.listenerCount('error') > 0) req.emit('error', new BrokenRequestError('body', statusOf(error)));
  }

  #answerHead(error: ParserError, socket: Socket): void {
    const head = headAt(error);
    if (error.code === 'HPE_INVALID_METHOD' && head?.isOwn === true && head.headers !== undefined) {
      const request = new IncomingMessage(socket);
      const { method, target, headers } = head;
      Object.assign(request, { method, url: target, httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1 });
      request.rawHeaders = headers.flat();
      request.headers = {};
      for (const [name, value] of headers) request.headers[name.toLowerCase()] ??= value;
      request.push(null);
      request.complete = true;
      replaceMethod(request);
      this.#route(request, socket);
      return;
    }
    const path = head?.target.split('?')[0] ?? '';
    socket.write(this.#bytesOf(failureOf(new BrokenRequestError('head', statusOf(error))), path));
    finish(socket);
  }

  /** Lets the application answer a request that the parser did not hand over. */
  #route(request: IncomingMessage, socket: Socket): void {
    if (socket.destroyed) return;
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once('finish', () => {
      response.detachSocket(socket);
      finish(socket);
    });
    this.#app.routing(request, response);
  }

  /** Resolves when the requests before were answered. */
  #afterEarlier(socket: Socket): Promise<void> {
    const newest = (socket as TrackedSocket)[NEWEST];
    if (newest === undefined || newest.writableFinished || newest.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      newest.once('close', () => resolve());
    });
  }

  #bytesOf(failure: Failure, path: string): string {
    const requestId = requestIdIn({});
    const form = formFor(this.#app.errorForms, path)?.(failure);
    const body = JSON.stringify(form?.body ?? problemOf(failure, path, requestId));
    const headers = {
      ...this.#headers,
      ...failure.headers,
      ...form?.headers,
      'content-type': form?.contentType ?? PROBLEM_TYPE,
      [REQUEST_ID]: requestId,
      'content-length': Buffer.byteLength(body),
      connection: 'close',
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return `HTTP/1.1 ${failure.status} ${STATUS_CODES[failure.status]}\r\n${lines.join('')}\r\n${body}`;
  }
}

const statusOf = ({ code = '' }: ParserError): number => STATUS_OF_BROKEN[code] ?? 400;

function replaceMethod(request: IncomingMessage): void {
  sentMethods.set(request, request.method as string);
  request.method = METHOD_WITHOUT_ROUTES;
}

/** Ends a connection once its client has had time to read what was sent. */
function finish(socket: Socket): void {
  socket.end();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

interface Head {
  readonly method: string;
  readonly target: string;
  /** Whether the parser stopped in its first line, and not behind it. */
  readonly isOwn: boolean;
  /** Undefined where they are not whole, or not headers. */
  readonly headers: readonly (readonly [name: string, value: string])[] | undefined;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const REQUEST_LINE = new RegExp(`(?<=^|\\n)(${TOKEN}) (\\S+) HTTP/1\\.[01]\\r?\\n`, 'g');
const HEADER = new RegExp(`^(${TOKEN}):[ \\t]*([^\\0\\r\\n]*?)[ \\t]*$`);

/** The head that the parser stopped in, as far as it can be read. */
function headAt({ rawPacket, bytesParsed = 0 }: ParserError): Head | undefined {
  const text = rawPacket?.toString('latin1') ?? '';
  const line = [...text.matchAll(REQUEST_LINE)].findLast(({ index }) => index <= bytesParsed);
  if (line === undefined) return undefined;
  const [whole, method, target] = line as unknown as readonly [string, string, string];
  const rest = text.slice(line.index + whole.length);
  const end = /(?:^|\n)\r?\n/.exec(rest);
  const lines =
    end === null
      ? undefined
      : rest
          .slice(0, end.index)
          .split('\n')
          .map((each) => each.replace(/\r$/, ''))
          .filter((each) => each !== '');
  const headers = lines?.map((each) => HEADER.exec(each)?.slice(1) as [string, string] | undefined);
  return {
    method,
    target,
    isOwn: bytesParsed < line.index + whole.length,
    headers: headers?.every((each) => each !== undefined) === true ? (headers as [string, string][]) : undefined,
  };
}
