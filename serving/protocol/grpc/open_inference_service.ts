import { readFileSync } from 'node:fs';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { PlatformError, PortInUseError, messageOf as textOf } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import { isLoopback } from '#monitoring/http/routes/route_access';
import type { TlsConfig } from '#monitoring/http/tls_config';
import type { Logger } from '#monitoring/log';
import { BINARY_HEADER } from '../open_inference/infer_request.ts';
import { SUBJECT_HEADERS } from '../subject.ts';
import { bodyOf, type ModelInferRequest, messageOf } from './infer_messages.ts';
import { callRoute, type InnerAnswer } from './inner_call.ts';
import { codecOf } from './open_inference_proto.ts';
import { addReflection } from './reflection.ts';

const SERVICE = 'inference.GRPCInferenceService';
const HEALTH = 'grpc.health.v1.Health';
const LOOPBACK = '127.0.0.1';
/** Metadata that routes read as headers. */
const PASSED = [
  ...['authorization', 'x-api-key', 'x-request-id', 'x-request-timeout-ms', 'traceparent'],
  ...SUBJECT_HEADERS,
];

/** gRPC's codes for the statuses of HTTP. */
const CODES: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  409: status.FAILED_PRECONDITION,
  413: status.RESOURCE_EXHAUSTED,
  415: status.INVALID_ARGUMENT,
  422: status.INVALID_ARGUMENT,
  429: status.RESOURCE_EXHAUSTED,
  503: status.UNAVAILABLE,
  504: status.DEADLINE_EXCEEDED,
};

export interface GrpcSettings {
  readonly host: string;
  readonly port: number;
  readonly maxBodyBytes: number;
  readonly tls?: TlsConfig | undefined;
}

interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly body?: object | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

type Message = Readonly<Record<string, unknown>>;
type Call = Pick<ServerUnaryCall<object, object>, 'metadata' | 'getPeer' | 'getDeadline'>;

/** The error of a call: gRPC's code, and the message that HTTP has. */
class GrpcError extends Error {
  readonly code: status;
  readonly metadata = new Metadata();

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

/** Methods that are one request each. */
const METHODS: Readonly<Record<string, { request(message: Message): HttpRequest; answer(body: unknown): object }>> = {
  ServerLive: { request: () => ({ method: 'GET', url: '/v2/health/live' }), answer: asIs },
  ServerReady: { request: () => ({ method: 'GET', url: '/v2/health/ready' }), answer: asIs },
  ModelReady: { request: (message) => ({ method: 'GET', url: `${pathOf(message)}/ready` }), answer: asIs },
  ServerMetadata: { request: () => ({ method: 'GET', url: '/v2' }), answer: asIs },
  ModelMetadata: { request: (message) => ({ method: 'GET', url: pathOf(message) }), answer: asIs },
  ModelConfig: {
    request: (message) => ({ method: 'GET', url: `${pathOf(message)}/config` }),
    answer: (body) => ({ config: body }),
  },
  ModelStatistics: {
    request: (message) => ({
      method: 'GET',
      url: message.name === '' ? '/v2/models/stats' : `${pathOf(message)}/stats`,
    }),
    answer: asIs,
  },
  RepositoryIndex: {
    request: ({ ready }) => ({ method: 'POST', url: '/v2/repository/index', body: { ready } }),
    answer: (body) => ({ models: body }),
  },
  RepositoryModelLoad: {
    request: ({ model_name: name }) => ({
      method: 'POST',
      url: `/v2/repository/models/${encoded(name)}/load`,
      body: {},
    }),
    answer: asIs,
  },
  RepositoryModelUnload: {
    request: ({ model_name: name }) => ({
      method: 'POST',
      url: `/v2/repository/models/${encoded(name)}/unload`,
      body: {},
    }),
    answer: asIs,
  },
};

function asIs(body: unknown): object {
  return body as object;
}

function encoded(name: unknown): string {
  if (typeof name === 'string' && name !== '') return encodeURIComponent(name);
  throw new GrpcError(status.INVALID_ARGUMENT, 'the name of the model is missing');
}

const pathOf = ({ name, version }: Message): string =>
  `/v2/models/${encoded(name)}${version === '' || version === undefined ? '' : `/versions/${encoded(version)}`}`;

/**
 * The Open Inference Protocol over gRPC, with gRPC's health service and server reflection. Each call becomes a request of the HTTP routes, within the process: keys (metadata
 * `authorization` or `x-api-key`), scopes, limits, admission and the prediction log are theirs.
 */
export class OpenInferenceService implements Service {
  readonly name = 'grpc';
  readonly #app: FastifyInstance;
  readonly #settings: GrpcSettings;
  readonly #log: Logger;
  readonly #server: Server;
  #port: number | undefined;

  constructor({ app, log }: { readonly app: FastifyInstance; readonly log: Logger }, settings: GrpcSettings) {
    this.#app = app;
    this.#settings = settings;
    this.#log = log.child({ component: 'serving.grpc' });
    const largest = settings.maxBodyBytes;
    this.#server = new Server({ 'grpc.max_receive_message_length': largest, 'grpc.max_send_message_length': -1 });
    this.#register();
  }

  /** Where it listens; undefined before it does. */
  get port(): number | undefined {
    return this.#port;
  }

  #register(): void {
    const definition: Record<string, MethodDefinition<object, object>> = {};
    const handlers: Record<string, unknown> = {};
    for (const [name, { request, answer }] of Object.entries(METHODS)) {
      definition[name] = methodOf(SERVICE, name, `inference.${name}Request`, `inference.${name}Response`);
      handlers[name] = this.#unary(async (message, call) => {
        const { payload } = await this.#send(request(message as Message), call, name);
        return answer(JSON.parse(payload.toString()));
      });
    }
    definition.ModelInfer = methodOf(
      SERVICE,
      'ModelInfer',
      'inference.ModelInferRequest',
      'inference.ModelInferResponse',
    );
    handlers.ModelInfer = this.#unary((message, call) => this.#infer(message as ModelInferRequest, call));
    definition.ModelStreamInfer = {
      ...methodOf(SERVICE, 'ModelStreamInfer', 'inference.ModelInferRequest', 'inference.ModelStreamInferResponse'),
      ...{ requestStream: true, responseStream: true },
    };
    handlers.ModelStreamInfer = (stream: ServerDuplexStream<object, object>) => this.#inferStream(stream);
    this.#server.addService(definition as ServiceDefinition, handlers as never);
    this.#registerHealth();
    addReflection(this.#server);
  }

  #registerHealth(): void {
    const messages = [`${HEALTH}CheckRequest`, `${HEALTH}CheckResponse`] as const;
    const check = async (service: string): Promise<object> => {
      if (service !== '' && service !== SERVICE)
        throw new GrpcError(status.NOT_FOUND, `there is no service ${service}`);
      const { statusCode } = await this.#app.inject({ url: '/v2/health/ready' });
      return { status: statusCode === 200 ? 'SERVING' : 'NOT_SERVING' };
    };
    const watch: handleServerStreamingCall<object, object> = (call) => {
      const tell = async (): Promise<void> => {
        try {
          call.write(await check(serviceOf(call.request)));
        } catch {
          call.write({ status: 'SERVICE_UNKNOWN' });
        }
      };
      void tell();
      const timer = setInterval(() => void tell(), WATCH_MS);
      for (const event of ['cancelled', 'close', 'error']) call.on(event, () => clearInterval(timer));
    };
    this.#server.addService(
      {
        Check: methodOf(HEALTH, 'Check', ...messages),
        Watch: { ...methodOf(HEALTH, 'Watch', ...messages), responseStream: true },
      },
      { Check: this.#unary((message) => check(serviceOf(message))), Watch: watch } as never,
    );
  }

  #unary(work: (message: object, call: Call) => Promise<object>): handleUnaryCall<object, object> {
    return (call, callback) => {
      work(call.request, call).then(
        (answer) => callback(null, answer),
        (error: unknown) => callback(this.#errorOf(error)),
      );
    };
  }

  #errorOf(error: unknown): GrpcError {
    if (error instanceof GrpcError) return error;
    if (error instanceof PlatformError && error.fault === 'caller') {
      return new GrpcError(status.INVALID_ARGUMENT, error.message);
    }
    this.#log.error({ error }, 'call.failed');
    return new GrpcError(status.INTERNAL, 'something went wrong here; the log has it');
  }

  async #infer(message: ModelInferRequest, call: Call): Promise<object> {
    const { body, jsonBytes } = bodyOf(message);
    const { payload, headers } = await this.#send(
      {
        ...{ method: 'POST', body },
        url: `${pathOf({ name: message.model_name, version: message.model_version })}/infer`,
        headers: { 'content-type': 'application/octet-stream', [BINARY_HEADER]: String(jsonBytes) },
      },
      call,
      'ModelInfer',
    );
    return messageOf(payload, Number(headers[BINARY_HEADER] ?? payload.length));
  }

  /** Answers in the order of the requests. An error is an answer: the stream stays open. */
  #inferStream(stream: ServerDuplexStream<object, object>): void {
    let last: Promise<void> = Promise.resolve();
    stream.on('data', (message: ModelInferRequest) => {
      last = last.then(async () => {
        try {
          stream.write({ infer_response: await this.#infer(message, stream) });
        } catch (error) {
          // The id of the request is how clients know which one it was.
          stream.write({ error_message: this.#errorOf(error).message, infer_response: { id: message.id } });
        }
      });
    });
    stream.on('end', () => void last.then(() => stream.end()));
    stream.on('error', (error) => this.#log.debug({ reason: textOf(error) }, 'stream.broken'));
  }

  async #send({ method, url, body, headers }: HttpRequest, call: Call, name: string) {
    const passed: Record<string, string> = {};
    for (const each of PASSED) {
      const [value] = call.metadata.get(each);
      if (typeof value === 'string') passed[each] = value;
    }
    const remoteAddress = call
      .getPeer()
      .replace(/:\d+$/, '')
      .replace(/^\[|\]$/g, '');
    const all = { host: 'localhost', ...deadlineHeader(call), ...headers, ...passed };
    const answer = Buffer.isBuffer(body)
      ? await callRoute(this.#app, { method: 'POST', url, remoteAddress, body, headers: all })
      : await this.#inject({
          method,
          url,
          remoteAddress,
          headers: all,
          ...(body === undefined ? {} : { payload: body }),
        });
    const { statusCode, payload } = answer;
    // Readiness is an answer, not an error.
    if (statusCode < 300 || (name === 'ServerReady' && statusCode === 503)) return { payload, headers: answer.headers };
    if (name === 'ModelReady' && (statusCode === 404 || statusCode === 503)) {
      return { payload: Buffer.from('{"ready":false}'), headers: answer.headers };
    }
    throw new GrpcError(CODES[statusCode] ?? status.INTERNAL, errorText(payload));
  }

  async #inject(request: InjectOptions): Promise<InnerAnswer> {
    const { statusCode, headers, rawPayload: payload } = await this.#app.inject(request);
    return { statusCode, headers, payload };
  }

  async start(): Promise<void> {
    await this.#app.ready();
    const { host: configured, port, tls } = this.#settings;
    const { guard } = this.#app;
    // As the HTTP listener: open to other machines with keys, or where that is said.
    const mayListen = isLoopback(configured) || guard === undefined || guard.isClosed() || guard.mayListenOpen;
    const host = mayListen ? configured : LOOPBACK;
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [
            { private_key: readFileSync(tls.keyFile), cert_chain: readFileSync(tls.certFile) },
          ]);
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`${host.includes(':') ? `[${host}]` : host}:${port}`, credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(new PortInUseError(this.name, host, port, 'serving.grpc.port', error));
      });
    });
    this.#log.info({ host, port: this.#port, tls: tls !== undefined }, 'grpc.listening');
  }

  async drain(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  async stop(): Promise<void> {
    this.#server.forceShutdown();
  }
}

/** How often health is looked at for a client that watches it. */
const WATCH_MS = 1_000;

const serviceOf = (message: object): string => (message as { readonly service?: string }).service ?? '';

function methodOf(service: string, name: string, request: string, response: string): MethodDefinition<object, object> {
  const [asked, answered] = [codecOf(request), codecOf(response)];
  return {
    path: `/${service}/${name}`,
    ...{ requestStream: false, responseStream: false },
    ...{ requestSerialize: asked.serialize, requestDeserialize: asked.deserialize },
    ...{ responseSerialize: answered.serialize, responseDeserialize: answered.deserialize },
  };
}

/** How long the caller waits, as requests of HTTP say it. */
function deadlineHeader(call: Call): Readonly<Record<string, string>> {
  const deadline = call.getDeadline();
  const leftMs = (deadline instanceof Date ? deadline.getTime() : deadline) - Date.now();
  return Number.isFinite(leftMs) && leftMs < 1e9
    ? { 'x-request-timeout-ms': String(Math.max(1, Math.ceil(leftMs))) }
    : {};
}

function errorText(payload: Buffer): string {
  try {
    const { error } = JSON.parse(payload.toString()) as { readonly error?: unknown };
    return typeof error === 'string' ? error : payload.toString();
  } catch {
    return payload.toString();
  }
}
