import type { FastifyRequest } from 'fastify';
import { createRemoteJWKSet, errors as joseErrors, jwtVerify } from 'jose';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import type { AccessConfig } from './config.ts';
import { TokenKeysUnavailableError, UnauthorizedError } from './errors.ts';
import { Grants, ROLE_NAMES } from './grants.ts';

/** @returns whose a token is, and what it may do; @throws UnauthorizedError with what is wrong with it, or TokenKeysUnavailableError */
export type VerifyToken = (token: string) => Promise<Pick<FastifyRequest, 'caller' | 'grants'>>;

/** How far clocks of the issuer and of this machine may differ, s. */
const CLOCK_TOLERANCE_S = 30;
/** Without an end or an owner a token could not be withdrawn, or told from another. */
const REQUIRED_CLAIMS = ['exp', 'sub'];

/** The issuer answers, but not with keys. */
const NO_KEYS = ['ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID', 'ERR_JWKS_TIMEOUT'];

export function tokenVerifier(
  { issuer, audience, jwksUrl, scoped, rolesClaim }: NonNullable<AccessConfig['jwt']>,
  log: Logger,
): VerifyToken {
  const keys = createRemoteJWKSet(new URL(jwksUrl));
  const options = { issuer, audience, clockTolerance: CLOCK_TOLERANCE_S, requiredClaims: REQUIRED_CLAIMS };
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, options);
      if (typeof payload.sub !== 'string' || payload.sub === '') {
        throw new UnauthorizedError('the token is not accepted: "sub" claim must be a string');
      }
      const scopes = [...String(payload.scope ?? '').split(' '), ...rolesIn(payload, rolesClaim)];
      const grants = scoped || rolesClaim !== undefined ? new Grants(scopes) : Grants.everything;
      return { caller: `subject ${payload.sub}`, grants };
    } catch (error) {
      if (error instanceof UnauthorizedError) throw error;
      if (error instanceof joseErrors.JOSEError && !NO_KEYS.includes(error.code)) {
        throw new UnauthorizedError(`the token is not accepted: ${messageOf(error)}`);
      }
      log.error({ component: 'connectors.http', error, issuer, host: new URL(jwksUrl).host }, 'token_keys.not_fetched');
      throw new TokenKeysUnavailableError(error);
    }
  };
}

/** The roles of a token that are known here: a list, or words in one string. */
function rolesIn(payload: object, claim: string | undefined): readonly string[] {
  if (claim === undefined) return [];
  const whole = new Map<string, unknown>(Object.entries(payload));
  let found = whole.get(claim);
  if (found === undefined) {
    found = claim
      .split('.')
      .reduce<unknown>(
        (value, name) =>
          typeof value === 'object' && value !== null ? new Map(Object.entries(value)).get(name) : undefined,
        payload,
      );
  }
  const roles: readonly unknown[] = Array.isArray(found) ? found : typeof found === 'string' ? found.split(' ') : [];
  return roles.filter((role): role is string => typeof role === 'string' && ROLE_NAMES.has(role));
}
