import { callerHeaders } from './caller.ts';

// Answers that change, by one stream of server-sent events for all that the page shows. EventSource sends no header, so that the stream is read by fetch.

interface Message {
  readonly path: string;
  readonly status: number;
  readonly body: unknown;
}
type Listener = (status: number, body: unknown) => void;

const RETRY_MS = 3_000;
const listeners = new Map<string, Set<Listener>>();
let underWay: AbortController | undefined;
let isScheduled = false;

/** Calls `listener` with what a path answers, now and each time that it has changed. @returns what ends it */
export function follow(path: string, listener: Listener): () => void {
  const own = listeners.get(path) ?? new Set();
  listeners.set(path, own.add(listener));
  schedule();
  return () => {
    own.delete(listener);
    if (own.size > 0) return;
    listeners.delete(path);
    schedule();
  };
}

/** Starts the stream anew: after a change, everything is read at once. */
export function refresh(): void {
  underWay?.abort();
  underWay = undefined;
  schedule();
}

/** Parts of a page that appear together share a stream. */
function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  setTimeout(() => {
    isScheduled = false;
    underWay?.abort();
    underWay = undefined;
    // A tab that is not looked at holds no connection.
    if (listeners.size === 0 || document.hidden) return;
    underWay = new AbortController();
    void read(underWay.signal);
  });
}

document.addEventListener('visibilitychange', schedule);

async function read(signal: AbortSignal): Promise<void> {
  const paths = [...listeners.keys()];
  try {
    const query = new URLSearchParams({ paths: paths.join(' ') });
    const answer = await fetch(`/console/api/live?${query}`, { headers: callerHeaders(), signal });
    if (!answer.ok || answer.body === null) {
      const body: unknown = await answer.json().catch(() => ({}));
      for (const path of paths) tell({ path, status: answer.status, body });
      // A caller that is not known has to say who it is first.
      if (answer.status === 401 || answer.status === 403) return;
    } else {
      const lines = answer.body.pipeThrough(new TextDecoderStream());
      let rest = '';
      for (const reader = lines.getReader(); ; ) {
        const { done, value = '' } = await reader.read();
        if (done) break;
        const events = (rest + value).split('\n\n');
        rest = events.pop() ?? '';
        for (const event of events) if (event.startsWith('data: ')) tell(JSON.parse(event.slice(6)) as Message);
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    for (const path of paths) tell({ path, status: 0, body: { error: { message: `no answer: ${String(error)}` } } });
  }
  setTimeout(() => !signal.aborted && schedule(), RETRY_MS);
}

function tell({ path, status, body }: Message): void {
  for (const listener of listeners.get(path) ?? []) listener(status, body);
}
