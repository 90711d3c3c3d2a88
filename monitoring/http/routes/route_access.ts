import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { UndeclaredAccessError } from '../../errors.ts';

// Who may call a route is part of its definition. A listener with a route that declares nothing does not start.

type Params = Readonly<Record<string, string>>;
type Query = Readonly<Record<string, unknown>>;

/**
 * Who may call a route: every caller (`open`); a caller with one of these scopes (`scopes`); a caller with any scope of an action, where the
 * handler checks the resource that the body names (`some`).
 */
export type Access =
  | { readonly kind: 'open' }
  | { readonly kind: 'scopes'; readonly scopesOf: (request: FastifyRequest) => readonly string[] }
  | { readonly kind: 'some'; readonly action: string };

const OPEN: Access = { kind: 'open' };

/** Declares a route that every caller may call, without a key. */
export const open = (): Access => OPEN;

/** Declares a route that needs one of these scopes, such as `ingest`, or `predict:NAME` by the name in its path. */
export function needs(
  scopes: string | readonly string[] | ((params: Params, query: Query) => string | readonly string[]),
): Access {
  if (typeof scopes === 'function') {
    const scopesOf = ({ params, query }: FastifyRequest): readonly string[] => {
      const needed = scopes(params as Params, query as Query);
      return typeof needed === 'string' ? [needed] : needed;
    };
    return { kind: 'scopes', scopesOf };
  }
  const fixed = typeof scopes === 'string' ? [scopes] : scopes;
  return { kind: 'scopes', scopesOf: () => fixed };
}

/** Declares a route whose body names the resource: it needs any scope of the action, and its handler requires the exact one. */
export const needsSome = (action: string): Access => ({ kind: 'some', action });

/** What decides which requests a listener answers. */
export interface ListenerGuard {
  /** Returns whether callers need a key or a token. */
  isClosed(): boolean;
  /** Whether it may listen beyond this machine while it is not closed. */
  readonly mayListenOpen: boolean;
  /** @throws what the caller is answered; a request without a route needs a known caller, and no scope */
  authorize(request: FastifyRequest, reply: FastifyReply): void | Promise<void>;
  /** Takes the address that the listener is bound to: on a loopback address the guard checks `Host`. */
  boundTo(host: string): void;
}

/** Its own name: declarations of the package lose an import that only the next block uses. */
type RegisteredRoute = RouteOptions;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** Whether pages of other origins may never call it, whatever `cors.allowedOrigins` holds. */
    ownOriginOnly?: boolean;
  }
  interface FastifyInstance {
    /** Set by `controlAccess`; a listener without one does not start. */
    guard: ListenerGuard | undefined;
    /** Every route of the listener, as Fastify registered it. */
    readonly registeredRoutes: readonly RegisteredRoute[];
  }
}

/** Makes an application refuse to start with a route that declares no access, or without a guard. */
export function requireDeclaredAccess(app: FastifyInstance): void {
  const routes: RouteOptions[] = [];
  app.decorate('guard', undefined);
  app.decorate('registeredRoutes', routes);
  app.addHook('onRoute', (route) => void routes.push(route));
  app.addHook('onReady', async () => {
    const undeclared = routes.filter(({ config }) => config?.access === undefined);
    if (undeclared.length > 0) {
      const list = undeclared.map(({ method, url }) => `${String(method)} ${url}`).join(', ');
      throw new UndeclaredAccessError(`${list}: set config.access to open(), needs(…) or needsSome(…)`);
    }
    if (app.guard === undefined) throw new UndeclaredAccessError('the listener has no guard: call controlAccess');
  });
}

/** Declares the access of all routes that are registered in this scope from now on: for plugins that declare none. */
export function declareAccessOf(scope: FastifyInstance, access: Access): void {
  scope.addHook('onRoute', (route) => {
    route.config = { ...route.config, access: route.config?.access ?? access };
  });
}

/** Whether an address reaches this machine alone. */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);
