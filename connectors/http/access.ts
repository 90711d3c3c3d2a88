import cors from '@fastify/cors';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isLoopback, type ListenerGuard, open } from '#monitoring/http/routes/route_access';
import type { Logger } from '#monitoring/log';
import { checkHost, checkOrigin } from './browsers.ts';
import { type AccessConfig, DEFAULT_REFUSED_LIMIT, type Limit } from './config.ts';
import { ForbiddenError, RateLimitedError, UnauthorizedError } from './errors.ts';
import { Grants } from './grants.ts';
import { KeyRing } from './key_ring.ts';
import { callerOf, RequestLimits } from './request_limits.ts';
import { tokenVerifier, type VerifyToken } from './tokens.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The caller's key, token subject or address: for limits and logs, never the secret itself. */
    caller: string;
    /** What the caller may do; undefined where no caller was needed. */
    grants: Grants | undefined;
    /** How often the caller may call; undefined: without limit. */
    limit: Limit | undefined;
  }
}

/** @throws {@link ForbiddenError} when the caller has neither the scope `action:resource` nor `action:*` */
export function requireScope(request: FastifyRequest, action: string, resource: string): void {
  if (!hasScope(request, action, resource)) throw new ForbiddenError(`${action}:${resource}`);
}

/** Whether the caller has the scope `action:resource`, or `action:*`. */
export const hasScope = ({ grants }: FastifyRequest, action: string, resource: string): boolean =>
  grants === Grants.everything || grants?.covers(`${action}:${resource}`) === true;

/**
 * Guards every route of a listener by what the route declares (`config.access`): who the caller is, how often it may call, and what it may do.
 * A request that matches no route needs a known caller as well, so that answers do not tell which routes exist. The path as it was sent decides
 * nothing.
 */
export async function controlAccess(app: FastifyInstance, config: AccessConfig, log: Logger): Promise<void> {
  const { allowedOrigins } = config.cors;
  app.decorateRequest('caller', '');
  app.decorateRequest('grants', undefined);
  app.decorateRequest('limit', undefined);
  if (allowedOrigins.length > 0) await allowOrigins(app, allowedOrigins);
  const guard = new Guard(config, log);
  app.guard = guard;
  app.addHook('onRequest', (request, reply, done) => {
    try {
      const deciding = guard.authorize(request, reply);
      if (deciding === undefined) done();
      else deciding.then(() => done(), done);
    } catch (error) {
      done(error as Error);
    }
  });
}

/** Pages of these origins may send requests and read answers. */
async function allowOrigins(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  app.addHook('onRequest', (_, reply, done) => {
    reply.header('cross-origin-resource-policy', 'cross-origin');
    done();
  });
  // Browsers send no key with a preflight request, and its answer holds no data.
  app.addHook('onRoute', (route) => {
    if (route.method === 'OPTIONS' && route.url === '*') route.config = { ...route.config, access: open() };
  });
  await app.register(cors, { origin: [...origins], methods: ['GET', 'HEAD', 'POST', 'PUT'], maxAge: 600 });
}

class Guard implements ListenerGuard {
  readonly mayListenOpen: boolean;
  readonly #config: AccessConfig;
  readonly #keys: KeyRing;
  readonly #verify: VerifyToken | undefined;
  readonly #limits = new RequestLimits();
  /** Apart: addresses that guess keys push no caller out of {@link #limits}. */
  readonly #refusals = new RequestLimits();
  readonly #origins: ReadonlySet<string>;
  /** What `Host` may be; undefined: anything. */
  #hosts: ReadonlySet<string> | undefined;
  /** The newest that was let pass: clients send the same again and again. */
  #passedHost: string | undefined;

  constructor(config: AccessConfig, log: Logger) {
    this.mayListenOpen = config.withoutKeys;
    this.#config = config;
    this.#keys = new KeyRing(config, log);
    this.#verify = config.jwt === undefined ? undefined : tokenVerifier(config.jwt, log);
    this.#origins = new Set(config.cors.allowedOrigins);
  }

  isClosed(): boolean {
    return this.#verify !== undefined || this.#keys.hasKeys;
  }

  boundTo(host: string): void {
    const { allowedHosts } = this.#config;
    this.#passedHost = undefined;
    this.#hosts = isLoopback(host) && !allowedHosts.includes('*') ? new Set(allowedHosts) : undefined;
  }

  authorize(request: FastifyRequest, reply: FastifyReply): void | Promise<void> {
    if (this.#hosts !== undefined && request.headers.host !== this.#passedHost) {
      checkHost(request, this.#hosts);
      this.#passedHost = request.headers.host;
    }
    const { config } = request.routeOptions;
    if (isFromBrowser(request)) checkOrigin(request, this.#origins, config?.ownOriginOnly === true);
    const access = config?.access;
    if (access?.kind === 'open') {
      request.caller = request.ip;
      return undefined;
    }
    const key = request.headers['x-api-key'];
    const known = typeof key === 'string' ? this.#keys.find(key) : undefined;
    if (known !== undefined) {
      request.caller = known.caller;
      request.grants = known.grants;
      request.limit = known.quota ?? this.#config.rateLimit;
      return this.#admit(request, reply);
    }
    if (!this.isClosed()) {
      request.caller = request.ip;
      request.grants = Grants.everything;
      request.limit = this.#config.rateLimit;
      return this.#admit(request, reply);
    }
    const [scheme, token] = request.headers.authorization?.split(' ') ?? [];
    if (this.#verify === undefined || scheme?.toLowerCase() !== 'bearer' || token === undefined) {
      return this.#refuse(request, reply, new UnauthorizedError(ways(this.#keys.hasKeys, this.#verify !== undefined)));
    }
    return this.#admitToken(request, reply, this.#verify(token));
  }

  async #admitToken(request: FastifyRequest, reply: FastifyReply, verified: ReturnType<VerifyToken>): Promise<void> {
    try {
      Object.assign(request, await verified);
    } catch (error) {
      if (error instanceof UnauthorizedError) this.#refuse(request, reply, error);
      throw error;
    }
    request.limit = this.#config.rateLimit;
    this.#admit(request, reply);
  }

  /** A caller that may come in: within its limit, and with the scope. */
  #admit(request: FastifyRequest, reply: FastifyReply): void {
    const { caller, ip, limit } = request;
    if (limit !== undefined) this.#count(caller === ip ? callerOf(ip) : caller, reply, limit);
    requireDeclaredScope(request);
  }

  /** A caller that is not known: counted by its address, so that keys cannot be guessed without limit. */
  #refuse(request: FastifyRequest, reply: FastifyReply, refusal: UnauthorizedError): never {
    const { rateLimit, refusedLimit = rateLimit ?? DEFAULT_REFUSED_LIMIT } = this.#config;
    request.caller = request.ip;
    this.#count(callerOf(request.ip), reply, refusedLimit, this.#refusals);
    reply.header('www-authenticate', challenge(this.#keys.hasKeys, this.#verify !== undefined));
    throw refusal;
  }

  /** @throws {@link RateLimitedError} */
  #count(caller: string, reply: FastifyReply, limit: Limit, counts = this.#limits): void {
    const { isExceeded, remaining, resetSeconds } = counts.count(caller, limit);
    reply.headers({
      'x-ratelimit-limit': limit.requests,
      'x-ratelimit-remaining': remaining,
      'x-ratelimit-reset': resetSeconds,
    });
    if (!isExceeded) return;
    reply.header('retry-after', resetSeconds);
    throw new RateLimitedError(limit, counts === this.#refusals);
  }
}

const isFromBrowser = ({ headers }: FastifyRequest): boolean =>
  headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;

/** @throws {@link ForbiddenError} */
function requireDeclaredScope(request: FastifyRequest): void {
  const access = request.routeOptions.config?.access;
  // No route: what it would have needed is not known.
  if (access === undefined || access.kind === 'open') return;
  const { grants } = request;
  if (grants === Grants.everything) return;
  if (access.kind === 'some') {
    if (grants?.coversSome(access.action) !== true) throw new ForbiddenError(`${access.action}:…`);
    return;
  }
  const scopes = access.scopesOf(request);
  for (const scope of scopes) if (grants?.covers(scope) === true) return;
  throw new ForbiddenError(...scopes);
}

function ways(keys: boolean, tokens: boolean): string {
  const known = [
    ...(keys ? ['a valid API key in the x-api-key header'] : []),
    ...(tokens ? ['a valid token as "authorization: Bearer …"'] : []),
  ];
  return `send ${known.join(' or ')}`;
}

const challenge = (keys: boolean, tokens: boolean): string =>
  [...(keys ? ['ApiKey realm="headwater"'] : []), ...(tokens ? ['Bearer realm="headwater"'] : [])].join(', ');
