import { signal } from './signal.ts';

// Who the reader is: a key or a token, kept for this tab until it is closed.

const KEY = 'headwater-api-key';
/** A JSON Web Token has three parts, and its header begins so. */
const TOKEN = /^ey[\w-]+\.[\w-]+\.[\w-]*$/;

export const rememberKey = (key: string): void => sessionStorage.setItem(KEY, key.trim());
export const forgetKey = (): void => sessionStorage.removeItem(KEY);
export const hasKey = (): boolean => sessionStorage.getItem(KEY) !== null;

export function callerHeaders(): Record<string, string> {
  const key = sessionStorage.getItem(KEY);
  if (key === null) return {};
  return TOKEN.test(key) ? { authorization: `Bearer ${key}` } : { 'x-api-key': key };
}

/** Scopes of the caller; undefined until the platform has answered. */
export const scopes = signal<readonly string[] | undefined>(undefined);

/** Whether the platform has refused the caller as one that it does not know. */
export const isUnknown = signal(false);
