import type { ConnectionOptions } from 'node:tls';
import type { SASLOptions } from 'kafkajs';
import { messageOf } from '#kernel/errors';
import { ConnectionError } from '../errors.ts';
import { readTlsFiles } from '../tls_files.ts';
import type { KafkaSasl, KafkaTls } from './config.ts';

/** Kept valid for so long before its end that no request meets an expired token. */
const RENEW_BEFORE_MS = 60_000;

/** TLS as kafkajs takes it. @throws {@link ConnectionError} naming the file that cannot be read */
export const tlsOptions = (tls: KafkaTls): boolean | ConnectionOptions =>
  typeof tls === 'boolean' ? tls : readTlsFiles(tls);

export function saslOptions(sasl: KafkaSasl): SASLOptions {
  // The client adds its own properties to what it is given, and configuration is frozen.
  if (sasl.mechanism !== 'oauthbearer') return { ...sasl };
  let current: { readonly value: string; readonly expiresAtMs: number } | undefined;
  return {
    mechanism: 'oauthbearer',
    async oauthBearerProvider() {
      if (current === undefined || current.expiresAtMs - RENEW_BEFORE_MS < Date.now()) current = await fetchToken(sasl);
      return { value: current.value };
    },
  };
}

async function fetchToken({
  tokenUrl,
  clientId,
  clientSecret,
  scope,
}: Extract<KafkaSasl, { mechanism: 'oauthbearer' }>): Promise<{
  readonly value: string;
  readonly expiresAtMs: number;
}> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', ...(scope === undefined ? {} : { scope }) });
  const secret = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64');
  try {
    const answer = await fetch(tokenUrl, { method: 'POST', body, headers: { authorization: `Basic ${secret}` } });
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    const { access_token: value, expires_in: seconds = 300 } = (await answer.json()) as {
      access_token?: string;
      expires_in?: number;
    };
    if (typeof value !== 'string') throw new Error('its answer has no access_token');
    return { value, expiresAtMs: Date.now() + seconds * 1_000 };
  } catch (error) {
    throw new ConnectionError(`the token server ${tokenUrl}`, new Error(messageOf(error), { cause: error }));
  }
}
