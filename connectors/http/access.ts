import { createHash } from 'node:crypto';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { createRemoteJWKSet, errors as joseErrors, jwtVerify } from 'jose';
import { messageOf } from '#kernel/errors';
import { ConnectionError } from '../errors.ts';
import type { AccessConfig } from './config.ts';
import { ForbiddenError, RateLimitedError, UnauthorizedError } from './errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, as far as is known: for limits and logs, never the secret itself. */
    caller: string;
    /** What it may do; undefined: everything. */
    scopes: readonly string[] | undefined;
  }
}

/** Health, metrics and documents, by URL. */
export const isOpenToAll = (url: string): boolean => /^\/(health|metrics|docs)(\/|\?|$)/.test(url);

/** @throws {@link ForbiddenError} when the caller's scopes hold neither `action:resource` nor `action:*` */
export function requireScope({ scopes }: FastifyRequest, action: string, resource: string): void {
  if (scopes === undefined) return;
  const wanted = `${action}:${resource}`;
  if (!scopes.includes(wanted) && !scopes.includes(`${action}:*`)) throw new ForbiddenError(wanted);
}

/**
 * Lets in who has one of the API keys or a valid token, when either is configured, says who it is, and bounds how often each may ask.
 *
 * @param isProtected - by URL; all but health, metrics and documents by default
 */
export async function controlAccess(
  app: FastifyInstance,
  config: AccessConfig,
  isProtected: (url: string) => boolean = (url) => !isOpenToAll(url),
): Promise<void> {
  if (config.rateLimit !== undefined) await limitRate(app, config.rateLimit, isProtected);
  authenticate(app, config, isProtected);
}

/** A limit for each caller, counted in this process. */
async function limitRate(
  app: FastifyInstance,
  { requests, windowMs }: NonNullable<AccessConfig['rateLimit']>,
  isProtected: (url: string) => boolean,
): Promise<void> {
  await app.register(rateLimit, {
    global: true,
    max: requests,
    timeWindow: windowMs,
    // After authentication, which says who it is.
    hook: 'preParsing',
    keyGenerator: ({ caller }) => caller,
    allowList: ({ url }) => !isProtected(url),
    errorResponseBuilder: () => new RateLimitedError(requests, windowMs),
  });
}

function authenticate(
  app: FastifyInstance,
  { apiKeys, jwt }: AccessConfig,
  isProtected: (url: string) => boolean,
): void {
  const known = new Map(
    apiKeys.map((given) => {
      const { key, name, scopes } =
        typeof given === 'string' ? ({ key: given } as Exclude<typeof given, string>) : given;
      const caller = `key ${name ?? createHash('sha256').update(key).digest('hex').slice(0, 12)}`;
      return [key, { caller, scopes }];
    }),
  );
  const verify = jwt === undefined ? undefined : tokenVerifier(jwt);
  const isOpen = known.size === 0 && verify === undefined;
  app.decorateRequest('caller', '');
  app.decorateRequest('scopes', undefined);
  if (isOpen) {
    app.addHook('onRequest', (request, _, done) => {
      request.caller = request.ip;
      done();
    });
    return;
  }
  app.addHook('onRequest', async (request: FastifyRequest) => {
    if (!isProtected(request.url)) {
      request.caller = request.ip;
      return;
    }
    const key = request.headers['x-api-key'];
    const found = typeof key === 'string' ? known.get(key) : undefined;
    if (found !== undefined) {
      request.caller = found.caller;
      request.scopes = found.scopes;
      return;
    }
    const [scheme, token] = request.headers.authorization?.split(' ') ?? [];
    if (verify === undefined || scheme?.toLowerCase() !== 'bearer' || token === undefined) {
      throw new UnauthorizedError(wanted(known.size > 0, verify !== undefined));
    }
    Object.assign(request, await verify(token));
  });
}

function wanted(keys: boolean, tokens: boolean): string {
  const ways = [
    ...(keys ? ['a valid API key in the x-api-key header'] : []),
    ...(tokens ? ['a valid token as "authorization: Bearer …"'] : []),
  ];
  return `send ${ways.join(' or ')}`;
}

/** @returns whose a token is, and what it may do; @throws UnauthorizedError saying what is wrong with it */
function tokenVerifier({ issuer, audience, jwksUrl, scoped }: NonNullable<AccessConfig['jwt']>) {
  const keys = createRemoteJWKSet(new URL(jwksUrl));
  return async (token: string): Promise<Pick<FastifyRequest, 'caller' | 'scopes'>> => {
    try {
      const { payload } = await jwtVerify(token, keys, { issuer, audience });
      const scopes = scoped ? String(payload.scope ?? '').split(' ') : undefined;
      return { caller: `subject ${payload.sub ?? '(none)'}`, scopes };
    } catch (error) {
      if (error instanceof joseErrors.JWKSTimeout || !(error instanceof joseErrors.JOSEError)) {
        throw new ConnectionError(`the token issuer's keys at ${jwksUrl}`, error);
      }
      throw new UnauthorizedError(`the token is not accepted: ${messageOf(error)}`);
    }
  };
}
