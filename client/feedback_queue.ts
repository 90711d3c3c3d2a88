import { ClientError, RequestFailedError } from './errors.ts';
import type { Feedback } from './predictions.ts';
import { randomId } from './transport.ts';

/** A report that waits to be sent. */
export interface WaitingReport {
  /** Of what it reports on: a newer report on the same row of a prediction replaces it. */
  readonly key: string;
  /** Of this report: a newer one is not removed when an older one was sent. */
  readonly id: string;
  /** When it was added, ms since 1970. */
  readonly addedAtMs: number;
  readonly report: Feedback;
}

/** Where reports wait, oldest first. */
export interface ReportStorage {
  /** Keeps a report, in place of the one with the same key. */
  put(report: WaitingReport): Promise<void>;
  /** Returns the oldest ones. */
  oldest(most: number): Promise<readonly WaitingReport[]>;
  /** Removes reports that are still the ones with these ids. */
  remove(reports: readonly Pick<WaitingReport, 'key' | 'id'>[]): Promise<void>;
}

/** What became of the reports that waited. */
export interface Flushed {
  readonly sent: number;
  /** Reports that the platform refuses, or whose prediction it does not know after an hour; they do not wait any longer. */
  readonly refused: readonly { readonly report: Feedback; readonly error: ClientError }[];
  /** Why the rest still waits; undefined where none does. */
  readonly stoppedBy?: ClientError;
}

const MOST_REPORTS_AT_ONCE = 500;
/** Statuses that speak of the report itself. Others speak of the way there: a key that has expired, a proxy, a page that asks to log in. */
const REFUSED = new Set([400, 409, 413, 422]);
/** The prediction may not be logged yet, or not be this caller's. */
const ABOUT_PREDICTION = new Set(['SERVING_UNKNOWN_PREDICTION', 'SERVING_FORBIDDEN_FEEDBACK']);
/** A report on a prediction that is still not known after so long is refused. */
const UNKNOWN_AFTER_MS = 3_600_000;

/**
 * Feedback that waits while there is no network, in a storage that outlasts the page or the process, and is sent when there is one again. A report counts once however often it is sent: the platform
 * keeps one for each row of a prediction, and a repeated one replaces itself.
 */
export class FeedbackQueue {
  readonly #send: (reports: readonly Feedback[]) => Promise<unknown>;
  readonly #storage: ReportStorage;
  #flushing: Promise<Flushed> | undefined;
  /** A report was added since the storage was last read. */
  #hasMore = false;

  /** @param send - such as `(reports) => client.predictions.feedback(reports)` */
  constructor(send: (reports: readonly Feedback[]) => Promise<unknown>, storage: ReportStorage) {
    this.#send = send;
    this.#storage = storage;
  }

  /** Keeps a report; resolves once the storage has it. Nothing is sent yet. */
  async add(report: Feedback): Promise<void> {
    const key = `${report.row ?? 0}#${report.predictionId}`;
    await this.#storage.put({ key, id: randomId(), addedAtMs: Date.now(), report });
    this.#hasMore = true;
  }

  /** Sends what waits, the oldest first, until nothing does or the platform cannot be reached. Calls at the same time share one pass, also those of other pages where the runtime has locks. */
  flush(): Promise<Flushed> {
    this.#flushing ??= exclusively(() => this.#flush()).finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  /**
   * Flushes now, and each time the runtime says that it is online again.
   *
   * @param onError - takes what the storage, or a function of the project's own, has thrown; the reports still wait
   * @returns a function that ends it
   */
  start(onFlushed: (flushed: Flushed) => void = () => {}, onError: (error: unknown) => void = () => {}): () => void {
    const flush = (): void => void this.flush().then(onFlushed).catch(onError);
    const target = globalThis as Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>>;
    target.addEventListener?.('online', flush);
    flush();
    return () => target.removeEventListener?.('online', flush);
  }

  async #flush(): Promise<Flushed> {
    let sent = 0;
    const refused: { report: Feedback; error: ClientError }[] = [];
    /** Ids of reports that have to wait for their prediction; the others are sent. */
    const skipped = new Set<string>();
    let stoppedBy: ClientError | undefined;
    for (;;) {
      this.#hasMore = false;
      const oldest = await this.#storage.oldest(MOST_REPORTS_AT_ONCE + skipped.size);
      const waiting = oldest.filter(({ id }) => !skipped.has(id)).slice(0, MOST_REPORTS_AT_ONCE);
      if (waiting.length === 0 && this.#hasMore) continue;
      if (waiting.length === 0) return { sent, refused, ...(stoppedBy === undefined ? {} : { stoppedBy }) };
      for (const { reports, error } of await this.#accepted(waiting)) {
        if (error === undefined) sent += reports.length;
        else if (!isOfReports(error)) return { sent, refused, stoppedBy: error };
        else if (reports.every((each) => mayBeKnownLater(error, each))) {
          stoppedBy = error;
          for (const { id } of reports) skipped.add(id);
          continue;
        } else refused.push(...reports.map(({ report }) => ({ report, error })));
        await this.#storage.remove(reports);
      }
    }
  }

  /** Sends reports together; where the platform refuses them, each by itself. */
  async #accepted(
    waiting: readonly WaitingReport[],
  ): Promise<readonly { readonly reports: readonly WaitingReport[]; readonly error: ClientError | undefined }[]> {
    const error = await this.#failureOf(waiting);
    if (error === undefined || !isOfReports(error) || waiting.length === 1) return [{ reports: waiting, error }];
    const parts = [];
    for (const each of waiting) {
      const own = await this.#failureOf([each]);
      parts.push({ reports: [each], error: own });
      if (own !== undefined && !isOfReports(own)) break;
    }
    return parts;
  }

  async #failureOf(waiting: readonly WaitingReport[]): Promise<ClientError | undefined> {
    try {
      await this.#send(waiting.map(({ report }) => report));
      return undefined;
    } catch (error) {
      if (error instanceof ClientError) return error;
      throw error;
    }
  }
}

const isOfReports = (error: ClientError): boolean =>
  error instanceof RequestFailedError && (REFUSED.has(error.status) || ABOUT_PREDICTION.has(error.code));

/** The clock may have been set meanwhile. */
const mayBeKnownLater = ({ code }: ClientError, { addedAtMs }: WaitingReport): boolean =>
  ABOUT_PREDICTION.has(code) && Math.abs(Date.now() - addedAtMs) < UNKNOWN_AFTER_MS;

interface LockManager {
  request<T>(name: string, work: () => Promise<T>): Promise<T>;
}

/** Runs work that no other page of the origin does meanwhile, where the runtime has locks. */
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  const { locks } = (globalThis as { readonly navigator?: { readonly locks?: LockManager } }).navigator ?? {};
  return locks === undefined ? work() : locks.request('headwater-feedback', work);
}

/** Returns a storage that lasts as long as the process. */
export function memoryReports(): ReportStorage {
  const reports = new Map<string, WaitingReport>();
  return {
    async put(report) {
      reports.delete(report.key);
      reports.set(report.key, report);
    },
    oldest: async (most) => [...reports.values()].slice(0, most),
    async remove(given) {
      for (const { key, id } of given) if (reports.get(key)?.id === id) reports.delete(key);
    },
  };
}
