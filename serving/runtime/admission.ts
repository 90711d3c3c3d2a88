import { DeadlinePassedError, OverloadedError } from '../errors.ts';

export interface AdmissionSettings {
  /** Rows in flight over all models of the process. */
  readonly maxPendingRows: number;
  /** How long a request may have to wait, ms. */
  readonly maxQueueMs: number;
}

/**
 * Lets in what can be answered in time, and refuses the rest at the door, before its body is read. A process does one thing after the other: what a
 * request has to wait for is what came before it in this turn of the event loop, and the rows that were taken and not answered yet.
 */
export class Admission {
  readonly #settings: AdmissionSettings;
  #pendingRows = 0;
  #pendingMs = 0;
  #turnBeganMs: number | undefined;

  constructor(settings: AdmissionSettings) {
    this.#settings = settings;
  }

  /** A request has arrived. @throws {@link OverloadedError} */
  enter(nowMs: number): void {
    if (this.#turnBeganMs === undefined) {
      this.#turnBeganMs = nowMs;
      setImmediate(() => {
        this.#turnBeganMs = undefined;
      });
    }
    if (this.waitMs(nowMs) > this.#settings.maxQueueMs) throw new OverloadedError();
  }

  /** What a request that comes now has to wait for. */
  waitMs(nowMs: number): number {
    return this.#pendingMs + (this.#turnBeganMs === undefined ? 0 : nowMs - this.#turnBeganMs);
  }

  /**
   * @param costMs - what the rows will probably take; {@link give} both back when they are done
   * @param deadlineMs - when nobody waits for them any more
   * @throws {@link OverloadedError} when there is no room, {@link DeadlinePassedError} when it would be too late
   */
  take(rows: number, costMs: number, deadlineMs: number | undefined): void {
    // One request larger than the whole budget is let through when nothing else waits.
    if (this.#pendingRows > 0 && this.#pendingRows + rows > this.#settings.maxPendingRows) throw new OverloadedError();
    if (deadlineMs !== undefined && performance.now() + this.#pendingMs + costMs > deadlineMs) {
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
