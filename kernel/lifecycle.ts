/** A long-lived part of a process: construct cheaply, open in `start`, finish in `drain`, release in `stop`. */
export interface Service {
  readonly name: string;
  /** Resolves when ready to take work. */
  start(signal: AbortSignal): Promise<void>;
  /** Takes no new work; resolves when in-flight work is done. Rejects or resolves early when `signal` aborts. */
  drain(signal: AbortSignal): Promise<void>;
  /** Releases everything; safe twice and after a failed start; logs, never rejects. */
  stop(): Promise<void>;
}

export interface RunningServices extends AsyncDisposable {
  /** Names of what was started and is not stopped; the next to stop is the last. */
  readonly running: readonly string[];
  /** Drains in reverse order of start, so that what takes work in stops first. */
  drain(signal: AbortSignal): Promise<void>;
}

/**
 * Starts `services` in order; when one fails, those already opened are stopped in reverse order and the error is
 * thrown. Disposing the result stops all, in reverse order.
 */
export async function startAll(services: readonly Service[], signal: AbortSignal): Promise<RunningServices> {
  const opened: Service[] = [];
  const stopAll = async (): Promise<void> => {
    for (let service = opened.at(-1); service !== undefined; service = opened.at(-1)) {
      await service.stop();
      opened.pop();
    }
  };
  try {
    for (const service of services) {
      opened.push(service);
      await service.start(signal);
    }
  } catch (error) {
    await stopAll();
    throw error;
  }
  return {
    get running() {
      return opened.map(({ name }) => name);
    },
    async drain(deadline) {
      for (const service of [...opened].reverse()) await service.drain(deadline);
    },
    [Symbol.asyncDispose]: stopAll,
  };
}
