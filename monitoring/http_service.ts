import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { PlatformError, PortInUseError } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { TlsConfig } from './http_app.ts';
import { countRequests } from './http_metrics.ts';
import type { Logger } from './log.ts';
import type { Registry } from './metrics.ts';
import { isLoopback, open } from './route_access.ts';
import { isTraced, traceRequests } from './tracing.ts';

export interface HttpServiceSettings {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** The setting to change when the port is taken. */
  readonly portSetting: string;
  readonly tls?: TlsConfig | undefined;
}

export interface HttpServiceDeps {
  readonly log: Logger;
  readonly metrics: Registry;
  /** What GET /metrics tells, where it is more than this process's. */
  readonly scrape?: (() => Promise<string>) | undefined;
  /** What must hold for the service to take work; the message says what does not. */
  readonly notReady?: () => string | undefined;
  /** What it depends on, each with what is wrong with it; shown at GET /health, which is then 503. Readiness does not look at it. */
  readonly dependencies?: () => Readonly<Record<string, string | undefined>>;
  /** A service that lives as long as this one: started before it, drained and stopped after it. */
  readonly beside?: Service | undefined;
}

const LOOPBACK = '127.0.0.1';
const LISTEN_OPEN = 'LISTEN_WITHOUT_KEYS=true';
const IN_FLIGHT_POLL_MS = 10;
/** For the last answers to leave. */
const GOODBYE_MS = 50;

const STATUS_BY_FAULT = { caller: 400, dependency: 503, internal: 500 } as const;

/** A Fastify application as a {@link Service}: listening, health routes, metrics, errors, drain. */
export class HttpService implements Service {
  readonly name: string;
  readonly app: FastifyInstance;
  readonly #settings: HttpServiceSettings;
  readonly #log: Logger;
  readonly #beside: Service | undefined;
  #draining = false;
  /** Requests that were begun and not answered. */
  #inFlight = 0;
  #url = '';

  constructor(deps: HttpServiceDeps, settings: HttpServiceSettings, app: FastifyInstance) {
    this.name = settings.name;
    this.app = app;
    this.#settings = settings;
    this.#beside = deps.beside;
    this.#log = deps.log.child({ component: settings.name });
    app.addHook('onRequest', (_, __, done) => {
      this.#inFlight += 1;
      done();
    });
    app.decorateRequest('span', undefined);
    if (isTraced()) traceRequests(app, settings.name);
    const answered = countRequests(deps.metrics, settings.name);
    app.addHook('onResponse', (request, reply, done) => {
      this.#inFlight -= 1;
      answered(request.routeOptions.url, reply.statusCode);
      done();
    });
    // For probes and Prometheus, which have no keys: network policies say who reaches them.
    const operations = { schema: { hide: true }, config: { access: open() } };
    const notReady = (): string | undefined => (this.#draining ? 'draining' : deps.notReady?.());
    app.get('/health/live', operations, async () => ({ status: 'live' }));
    const ready = async (_: unknown, reply: { code(status: number): unknown }) => {
      const reason = notReady();
      if (reason !== undefined) reply.code(503);
      return reason === undefined ? { status: 'ready' } : { status: 'not ready', reason };
    };
    app.get('/health', operations, async (_, reply) => {
      const reason = notReady();
      const dependencies = Object.fromEntries(
        Object.entries(deps.dependencies?.() ?? {}).map(([name, problem]) => [name, problem ?? 'up']),
      );
      const down = Object.values(dependencies).some((state) => state !== 'up');
      if (reason !== undefined || down) reply.code(503);
      const status = reason !== undefined ? 'not ready' : down ? 'degraded' : 'ready';
      return { status, ...(reason === undefined ? {} : { reason }), dependencies };
    });
    app.get('/health/ready', operations, ready);
    app.get('/metrics', operations, async (_, reply) => {
      reply.type(deps.metrics.contentType);
      return deps.scrape?.() ?? deps.metrics.metrics();
    });
    app.setErrorHandler((error: unknown, request, reply) => {
      const { status, body } = errorAnswer(error);
      if (status >= 500) {
        const traceId = request.span?.spanContext().traceId;
        this.#log.error({ error, route: request.routeOptions.url, trace_id: traceId }, 'request.failed');
      }
      if ((status === 503 || status === 429) && !reply.hasHeader('retry-after')) reply.header('retry-after', '1');
      return reply.code(status).send(body);
    });
    app.setNotFoundHandler((request, reply) =>
      reply.code(404).send({
        error: {
          code: 'NOT_FOUND',
          message: `there is no ${request.method} ${request.url}; GET /docs lists what there is`,
        },
      }),
    );
  }

  /** Before it starts: nobody is to be told. */
  hideMetrics(): void {
    this.app.addHook('onRequest', (request, reply, done) => {
      if (request.routeOptions.url === '/metrics') reply.callNotFound();
      else done();
    });
  }

  /** Where it listens: `http://127.0.0.1:8080`. */
  get url(): string {
    return this.#url;
  }

  async start(signal = new AbortController().signal): Promise<void> {
    await this.#beside?.start(signal);
    const { port, portSetting } = this.#settings;
    const host = await this.#hostToBind();
    this.app.guard?.boundTo(host);
    try {
      await this.app.listen({ host, port });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') {
        throw new PortInUseError(this.name, host, port, portSetting, error);
      }
      throw error;
    }
    const address = this.app.server.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    this.#url = `${this.#settings.tls === undefined ? 'http' : 'https'}://${host === '0.0.0.0' ? 'localhost' : host}:${bound}`;
    this.#log.info({ url: this.#url }, 'http.listening');
  }

  /** The address of the settings; one of this machine where the listener would be open to every network without a key. */
  async #hostToBind(): Promise<string> {
    // Plugins have set the guard by then.
    await this.app.ready();
    const { host } = this.#settings;
    const { guard } = this.app;
    if (isLoopback(host) || guard === undefined || guard.isClosed() || guard.mayListenOpen) return host;
    const reason = `no key is configured: create one (headwater keys create) or set ${LISTEN_OPEN}`;
    this.#log.warn({ configured: host, bound: LOOPBACK, reason }, 'http.bound_to_loopback');
    return LOOPBACK;
  }

  /** Says "not ready" first, then finishes the requests under way, at most until `signal` aborts. */
  async drain(signal = new AbortController().signal): Promise<void> {
    this.#draining = true;
    const closed = this.app.close();
    // The server waits for connections that were opened and have never asked for anything; clients keep such at hand.
    const cutting = this.#cutIdle(signal);
    await closed;
    await cutting;
    await this.#beside?.drain(signal);
  }

  async #cutIdle(signal: AbortSignal): Promise<void> {
    while (this.#inFlight > 0 && !signal.aborted) await sleep(IN_FLIGHT_POLL_MS);
    await sleep(GOODBYE_MS);
    this.app.server.closeAllConnections();
  }

  async stop(): Promise<void> {
    this.#draining = true;
    this.app.server.closeAllConnections();
    await this.app.close().catch((error: unknown) => this.#log.error({ error }, 'http.close_failed'));
    await this.#beside?.stop();
  }
}

interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly fields?: unknown };
}

/** Status and body for anything thrown. Inner workings of unexpected errors stay in the log. */
export function errorAnswer(error: unknown): { readonly status: number; readonly body: ErrorBody } {
  if (error instanceof PlatformError) {
    const { code, message, fault } = error;
    const own = error as { readonly httpStatus?: number; readonly fields?: unknown };
    const fields = own.fields === undefined ? {} : { fields: own.fields };
    return { status: own.httpStatus ?? STATUS_BY_FAULT[fault], body: { error: { code, message, ...fields } } };
  }
  const { statusCode, code, message } = error as { statusCode?: number; code?: string; message?: string };
  if (statusCode !== undefined && statusCode < 500) {
    return { status: statusCode, body: { error: { code: code ?? 'BAD_REQUEST', message: message ?? 'bad request' } } };
  }
  return { status: 500, body: { error: { code: 'INTERNAL', message: 'something went wrong here; the log has it' } } };
}
