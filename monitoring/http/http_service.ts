import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { messageOf, PortInUseError } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { InvalidTargetError, MethodNotAllowedError, RouteNotFoundError } from '../errors.ts';
import { type Health, HealthReporter } from '../health.ts';
import type { Logger } from '../log.ts';
import type { Registry } from '../metrics.ts';
import { isTraced, traceRequests } from '../tracing.ts';
import { methodOf } from './connection_errors.ts';
import { pathOf, sendError } from './http_app.ts';
import { countRequests } from './http_metrics.ts';
import { isLoopback, open } from './routes/route_access.ts';
import type { TlsConfig } from './tls_config.ts';

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
  /** Dependencies and jobs, each with its state, and which of them make the role not ready; see docs/monitoring.md. */
  readonly health?: Health | undefined;
  /** A service that lives as long as this one: started before it, drained and stopped after it. */
  readonly beside?: Service | undefined;
}

/** A connection as Node's HTTP server keeps it, with the answer that is being made. */
interface HttpConnection extends Socket {
  readonly _httpMessage?: ServerResponse | null;
}

const LOOPBACK = '127.0.0.1';
const LISTEN_OPEN = 'LISTEN_WITHOUT_KEYS=true';
const IN_FLIGHT_POLL_MS = 10;
/** A listener with connections is closed when no request has come for so long, and for longer once one has come: until then each answer ends its connection. */
const QUIET_MS = 100;
const QUIET_AFTER_REQUESTS_MS = 1_000;
const LONGEST_PARTING_MS = 3_000;
/** For the last answers to leave. */
const GOODBYE_MS = 50;

const NO_DEPENDENCIES: Health = { sources: [], notReady: () => undefined };

/** Routes that show numbers of a process. */
const OF_METRICS: ReadonlySet<string> = new Set(['/metrics', '/graph']);

/** A Fastify application as a {@link Service}: listening, health routes, metrics, errors, drain. */
export class HttpService implements Service {
  readonly name: string;
  readonly app: FastifyInstance;
  readonly #settings: HttpServiceSettings;
  readonly #log: Logger;
  /** The service that lives as long as this one. */
  readonly beside: Service | undefined;
  #draining = false;
  /** Of the newest request since the drain has begun. */
  #requestedMs = 0;
  readonly #connections = new Set<HttpConnection>();
  #url = '';

  constructor(deps: HttpServiceDeps, settings: HttpServiceSettings, app: FastifyInstance) {
    this.name = settings.name;
    this.app = app;
    this.#settings = settings;
    this.beside = deps.beside;
    this.#log = deps.log.child({ component: settings.name });
    this.#keepConnections();
    app.addHook('onRequest', (request, reply, done) => {
      if (this.#draining) {
        this.#requestedMs = performance.now();
        reply.header('connection', 'close');
      }
      // Ids and names in a URL are looked up in stores: none of them takes NUL.
      if (request.url.includes('%00')) done(new InvalidTargetError(pathOf(request).includes('%00') ? 'path' : 'query'));
      else done();
    });
    app.decorateRequest('span', undefined);
    if (isTraced()) traceRequests(app, settings.name);
    const answered = countRequests(deps.metrics, settings.name);
    app.addHook('onResponse', (request, reply, done) => {
      answered(request.routeOptions.url, reply.statusCode);
      done();
    });
    // For probes and Prometheus, which have no keys: network policies say who reaches them.
    const operations = { schema: { hide: true }, config: { access: open() } };
    const reporter = new HealthReporter(deps.health ?? NO_DEPENDENCIES, systemClock);
    const report = () => reporter.report(this.#draining ? 'draining' : deps.notReady?.());
    // For the question whether a restart would help: it answers as long as the event loop turns.
    app.get('/health/live', operations, async () => ({ status: 'live' }));
    // For load balancers: may this process be sent work?
    app.get('/health/ready', operations, async (_, reply) => {
      const health = report();
      if (health.status === 'not ready') reply.code(503);
      return health;
    });
    // For people and checks: is anything of the process down?
    app.get('/health', operations, async (_, reply) => {
      const health = report();
      if (health.status !== 'ready') reply.code(503);
      return health;
    });
    app.get('/metrics', operations, async (_, reply) => {
      reply.type(deps.metrics.contentType);
      return deps.scrape?.() ?? deps.metrics.metrics();
    });
    app.setErrorHandler((error: unknown, request, reply) => {
      const status = sendError(error, request, reply, app.errorForms);
      const where = { route: request.routeOptions.url, request_id: request.id };
      if (status >= 500) {
        const traceId = request.span?.spanContext().traceId;
        this.#log.error({ error, ...where, trace_id: traceId }, 'request.failed');
      } else this.#log.debug({ status, problem: messageOf(error), ...where }, 'request.refused');
      return reply;
    });
    app.setNotFoundHandler((request, reply) => {
      const method = methodOf(request.raw);
      const path = pathOf(request);
      const allowed = app.routeMethods?.of(path) ?? [];
      if (allowed.length === 0 || (allowed.includes(method) && method !== 'OPTIONS')) {
        throw new RouteNotFoundError(method, path);
      }
      if (method === 'OPTIONS') return reply.code(204).header('allow', allowed.join(', ')).send();
      throw new MethodNotAllowedError(method, path, allowed);
    });
  }

  /** Hides `/metrics` and `/graph`; call it before the start. */
  hideMetrics(): void {
    this.app.addHook('onRequest', (request, reply, done) => {
      if (OF_METRICS.has(request.routeOptions.url ?? '')) reply.callNotFound();
      else done();
    });
  }

  /** Where it listens: `http://127.0.0.1:8080`. */
  get url(): string {
    return this.#url;
  }

  async start(signal: AbortSignal = new AbortController().signal): Promise<void> {
    await this.beside?.start(signal);
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

  /** Says "not ready" first, lets clients go that hold connections, then finishes the requests under way, at most until `signal` aborts. */
  async drain(signal: AbortSignal = new AbortController().signal): Promise<void> {
    this.#draining = true;
    await this.#letClientsGo(signal);
    const closed = this.app.close();
    // The server waits for connections that were opened and have never sent a request; clients keep such at hand.
    const cutting = this.#cutIdle(signal);
    await closed;
    await cutting;
    await this.beside?.drain(signal);
  }

  /** What waits for an answer is counted once, at the end, and not with each request. */
  #keepConnections(): void {
    const event = this.#settings.tls === undefined ? 'connection' : 'secureConnection';
    this.app.server.on(event, (connection: HttpConnection) => {
      this.#connections.add(connection);
      connection.once('close', () => this.#connections.delete(connection));
    });
  }

  get #isAnswering(): boolean {
    for (const { _httpMessage } of this.#connections) if (_httpMessage) return true;
    return false;
  }

  /** A connection that is closed while its client sends the next request fails that request: an answer says that it is the last one. */
  async #letClientsGo(signal: AbortSignal): Promise<void> {
    const beganMs = performance.now();
    this.#requestedMs = beganMs;
    for (const { _httpMessage: answer } of this.#connections) {
      if (answer?.headersSent === false) answer.shouldKeepAlive = false;
    }
    for (let nowMs = beganMs; this.#connections.size > 0 && !signal.aborted; nowMs = performance.now()) {
      const quietMs = this.#requestedMs > beganMs ? QUIET_AFTER_REQUESTS_MS : QUIET_MS;
      if (nowMs - this.#requestedMs > quietMs || nowMs - beganMs > LONGEST_PARTING_MS) return;
      await sleep(IN_FLIGHT_POLL_MS);
    }
  }

  async #cutIdle(signal: AbortSignal): Promise<void> {
    while (this.#isAnswering && !signal.aborted) await sleep(IN_FLIGHT_POLL_MS);
    await sleep(GOODBYE_MS);
    this.app.server.closeAllConnections();
  }

  async stop(): Promise<void> {
    this.#draining = true;
    this.app.server.closeAllConnections();
    await this.app.close().catch((error: unknown) => this.#log.error({ error }, 'http.close_failed'));
    await this.beside?.stop();
  }
}
