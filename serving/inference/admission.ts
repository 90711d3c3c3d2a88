import { DeadlinePassedError, OverloadedError } from '../errors.ts';
import { UsualTime } from '../models/usual_time.ts';

/** Why a request is refused: too much waits, too many rows are in flight, or it would be too late. */
export type Refusal = 'wait' | 'rows' | 'deadline';

export interface AdmissionSettings {
  /** Rows in flight over all models of the process. */
  readonly maxPendingRows: number;
  /** How long a request may have to wait, ms. */
  readonly maxQueueMs: number;
}

const ARRIVALS_THAT_TELL = 8;

/**
 * Lets in what can be answered in time, and refuses the rest before the body is read. A process does one thing after the other: what a
 * request has to wait for are those that came before it in this turn of the event loop, and the rows that were taken and not computed yet. Both are
 * estimated by what such have taken so far, not by the clock: that the process was held up for a moment is no reason to refuse a request.
 */
export class Admission {
  readonly #settings: AdmissionSettings;
  readonly #onRefused: (why: Refusal) => void;
  readonly #now: () => number;
  readonly #atEndOfTurn: (work: () => void) => void;
  #pendingRows = 0;
  #pendingMs = 0;
  #longestWaitMs = 0;
  /** Requests that have come in this turn, and what one takes until its rows wait to be computed. */
  #arrivals = 0;
  readonly #arrival = new UsualTime();

  /** @param time - parameters for tests */
  constructor(
    settings: AdmissionSettings,
    onRefused: (why: Refusal) => void = () => {},
    time: { readonly now: () => number; readonly atEndOfTurn: (work: () => void) => void } = {
      now: () => performance.now(),
      atEndOfTurn: (work) => void setImmediate(work),
    },
  ) {
    this.#settings = settings;
    this.#onRefused = onRefused;
    this.#now = time.now;
    this.#atEndOfTurn = time.atEndOfTurn;
  }

  /** A request has arrived. @throws {@link OverloadedError} */
  enter(): void {
    if (this.#arrivals === 0) {
      const beganMs = this.#now();
      this.#atEndOfTurn(() => {
        // Of few, most of the turn was something else.
        if (this.#arrivals >= ARRIVALS_THAT_TELL) this.#arrival.add((this.#now() - beganMs) / this.#arrivals);
        this.#arrivals = 0;
      });
    }
    this.#arrivals += 1;
    const waitMs = this.waitMs;
    if (waitMs > this.#longestWaitMs) this.#longestWaitMs = waitMs;
    if (waitMs <= this.#settings.maxQueueMs) return;
    this.#onRefused('wait');
    throw new OverloadedError();
  }

  /** The longest that a request had to wait since this was last asked, ms. */
  takeLongestWait(): number {
    const longestMs = this.#longestWaitMs;
    this.#longestWaitMs = 0;
    return longestMs;
  }

  /** What a request that comes now has to wait for. */
  get waitMs(): number {
    return this.#pendingMs + this.#arrivals * this.#arrival.ms;
  }

  /** Whether rows that come now are computed in time. */
  hasRoom(rows: number): boolean {
    const isFull = this.#pendingRows > 0 && this.#pendingRows + rows > this.#settings.maxPendingRows;
    return !isFull && this.#pendingMs <= this.#settings.maxQueueMs;
  }

  /**
   * @param costMs - what the rows will probably take; {@link give} both back when they are done
   * @param deadlineMs - when no caller waits for them any more
   * @throws {@link OverloadedError} when there is no room, {@link DeadlinePassedError} when it would be too late
   */
  take(rows: number, costMs: number, deadlineMs: number | undefined): void {
    // One request larger than the whole budget is let through when nothing else waits.
    if (this.#pendingRows > 0 && this.#pendingRows + rows > this.#settings.maxPendingRows) {
      this.#onRefused('rows');
      throw new OverloadedError();
    }
    if (deadlineMs !== undefined && this.#now() + this.#pendingMs + costMs > deadlineMs) {
      this.#onRefused('deadline');
      throw new DeadlinePassedError();
    }
    this.#pendingRows += rows;
    this.#pendingMs += costMs;
  }

  give(rows: number, costMs: number): void {
    this.#pendingRows -= rows;
    this.#pendingMs = this.#pendingRows === 0 ? 0 : this.#pendingMs - costMs;
  }
}
