import { useEffect, useState } from 'preact/hooks';
import { Grants } from '#connectors/http/grants';
import type { Caller } from '../answers.ts';
import { callerHeaders, isUnknown, scopes } from './caller.ts';
import { follow, refresh } from './live.ts';

// Requests of pages to the platform, and their answers.

export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const UNKNOWN = 401;

interface Refusal {
  readonly error?: { readonly message?: string };
}

function refusalOf(status: number, body: unknown): RefusedError {
  if (status === UNKNOWN) isUnknown.set(true);
  return new RefusedError(status, (body as Refusal | null)?.error?.message ?? `the platform answers ${status}`);
}

/** @throws {@link RefusedError} with what the platform says */
export async function ask<T>(
  path: string,
  change?: { readonly method: 'POST' | 'PUT'; readonly body: unknown },
): Promise<T> {
  const headers = callerHeaders();
  const answer = await fetch(
    path,
    change === undefined
      ? { headers }
      : {
          method: change.method,
          headers: { ...headers, 'content-type': 'application/json' },
          body: JSON.stringify(change.body),
        },
  );
  const body: unknown = await answer.json().catch(() => ({}));
  if (!answer.ok) throw refusalOf(answer.status, body);
  return body as T;
}

export interface Asked<T> {
  readonly data?: T;
  readonly error?: Error;
  /** Asks again now. */
  readonly refresh: () => void;
}

interface State<T> {
  readonly path: string;
  readonly data?: T;
  readonly error?: Error;
}

/** What a path answers, as it changes. An error leaves what was shown before. */
export function useAsked<T>(path: string): Asked<T> {
  const [state, setState] = useState<State<T>>({ path });
  useEffect(
    () =>
      follow(path, (status, body) =>
        setState((before) =>
          status >= 200 && status < 300
            ? { path, data: body as T }
            : { ...(before.path === path ? before : {}), path, error: refusalOf(status, body) },
        ),
      ),
    [path],
  );
  return state.path === path ? { ...state, refresh } : { refresh };
}

/** What a path answers, asked once: for what is costly to compute and does not change. */
export function useAskedOnce<T>(path: string): Asked<T> {
  const [state, setState] = useState<State<T>>({ path });
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    ask<T>(path).then(
      (data) => isCurrent && setState({ path, data }),
      (error: Error) => isCurrent && setState({ path, error }),
    );
    return () => {
      isCurrent = false;
    };
  }, [path, round]);
  const again = () => setRound((before) => before + 1);
  return state.path === path ? { ...state, refresh: again } : { refresh: again };
}

/** Reads what the caller may do. */
export const askScopes = (): Promise<void> =>
  ask<Caller>('/console/api/me').then(
    (me) => scopes.set(me.scopes),
    () => scopes.set(undefined),
  );

/** Whether the caller has one of these scopes: what it may not do is not shown, and the server refuses it as well. */
export function useMay(): (...needed: readonly string[]) => boolean {
  const known = scopes.use();
  const grants = new Grants(known ?? []);
  return (...needed) => needed.some((scope) => grants.covers(scope));
}
