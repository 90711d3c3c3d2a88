import type { RestrictionTracker } from './splittable.ts';

/** Tracks a restriction that its reader itself replaces by what is left: claiming is saying the rest. */
export class RestTracker<R> implements RestrictionTracker<R, R> {
  #rest: R;

  constructor(restriction: R) {
    this.#rest = restriction;
  }

  tryClaim(rest: R): boolean {
    this.#rest = rest;
    return true;
  }

  checkpoint(): R {
    return this.#rest;
  }
}
