import { useEffect, useState } from 'preact/hooks';

// Requests of pages to the platform, and their answers.

const KEY = 'headwater-api-key';
const EVERY_MS = 5_000;

export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Kept for this tab, until it is closed. */
export const rememberKey = (key: string): void => sessionStorage.setItem(KEY, key);

/** @throws {@link RefusedError} with what the platform says */
export async function ask<T>(
  path: string,
  change?: { readonly method: 'POST' | 'PUT'; readonly body: unknown },
): Promise<T> {
  const key = sessionStorage.getItem(KEY);
  const headers: Record<string, string> = key === null ? {} : { 'x-api-key': key };
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
  const body = (await answer.json().catch(() => ({}))) as T & { error?: { message?: string } };
  if (!answer.ok) throw new RefusedError(answer.status, body.error?.message ?? `the platform answers ${answer.status}`);
  return body;
}

export interface Asked<T> {
  readonly data?: T;
  readonly error?: Error;
  /** Asks again now. */
  readonly refresh: () => void;
}

/** What a path answers, asked again every few seconds while the page is looked at. */
export function useAsked<T>(path: string): Asked<T> {
  const [state, setState] = useState<{ readonly path: string; readonly data?: T; readonly error?: Error }>({ path });
  const [round, setRound] = useState(0);
  const refresh = () => setRound((before) => before + 1);
  useEffect(() => {
    let isCurrent = true;
    const load = () =>
      ask<T>(path).then(
        (data) => isCurrent && setState({ path, data }),
        (error: Error) => isCurrent && setState((before) => ({ ...before, path, error })),
      );
    void load();
    const timer = setInterval(() => !document.hidden && void load(), EVERY_MS);
    return () => {
      isCurrent = false;
      clearInterval(timer);
    };
  }, [path, round]);
  return state.path === path ? { ...state, refresh } : { refresh };
}

/** What a path answers, asked once: for what is costly to compute and does not change. */
export function useAskedOnce<T>(path: string): Asked<T> {
  const [state, setState] = useState<{ readonly path: string; readonly data?: T; readonly error?: Error }>({ path });
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
  const refresh = () => setRound((before) => before + 1);
  return state.path === path ? { ...state, refresh } : { refresh };
}
