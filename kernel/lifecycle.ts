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
    for (const service of opened.splice(0).reverse()) await service.stop();
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
    async drain(deadline) {
      for (const service of [...opened].reverse()) await service.drain(deadline);
    },
    [Symbol.asyncDispose]: stopAll,
  };
}
