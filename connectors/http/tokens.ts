import type { FastifyRequest } from 'fastify';
import { createRemoteJWKSet, errors as joseErrors, jwtVerify } from 'jose';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import type { AccessConfig } from './config.ts';
import { TokenKeysUnavailableError, UnauthorizedError } from './errors.ts';
import { Grants } from './scopes.ts';

/** @returns whose a token is, and what it may do; @throws UnauthorizedError with what is wrong with it, or TokenKeysUnavailableError */
export type VerifyToken = (token: string) => Promise<Pick<FastifyRequest, 'caller' | 'grants'>>;

/** How far clocks of the issuer and of this machine may differ, s. */
const CLOCK_TOLERANCE_S = 30;
/** Without an end or an owner a token could not be withdrawn, or told from another. */
const REQUIRED_CLAIMS = ['exp', 'sub'];

/** The issuer answers, but not with keys. */
const NO_KEYS = ['ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID', 'ERR_JWKS_TIMEOUT'];

export function tokenVerifier(
  { issuer, audience, jwksUrl, scoped }: NonNullable<AccessConfig['jwt']>,
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
      const grants = scoped ? new Grants(String(payload.scope ?? '').split(' ')) : Grants.everything;
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
