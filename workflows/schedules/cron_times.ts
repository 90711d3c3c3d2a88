import { Cron } from 'croner';
import { messageOf } from '#kernel/errors';
import { HOUR_MS } from '#kernel/time';
import { zoneOffsetMs } from '#kernel/times/time_zone';

const FIELDS = 5;
/** Clocks of the world are at most so far apart: an offset further away than this says nothing of a clock's time. */
const FURTHEST_MS = 26 * HOUR_MS;

/**
 * Times of a cron expression on the clocks of a time zone.
 *
 * croner reads the expression and counts on a clock without changes; this class maps that clock to the zone's. Where the hour is `*`, times follow
 * elapsed time: those of a doubled hour come twice, those that clocks are set forward over do not come. Any other hour names times of a day: one that
 * clocks show twice comes the first time, and one that they are set forward over comes as much later as they are set forward.
 */
export class CronTimes {
  readonly #cron: Cron;
  readonly #zone: string;
  readonly #isEveryHour: boolean;

  /** @throws {RangeError} for an expression that is not valid, or that has no time */
  constructor(expression: string, zone: string) {
    const fields = expression.trim().split(/\s+/);
    if (fields.length !== FIELDS) {
      throw new RangeError(
        `it has ${fields.length} fields; write minute, hour, day of the month, month, day of the week`,
      );
    }
    try {
      this.#cron = new Cron(fields.join(' '), { utcOffset: 0, paused: true });
    } catch (error) {
      throw new RangeError(messageOf(error).replace(/^CronPattern: /, ''), { cause: error });
    }
    this.#zone = zone;
    this.#isEveryHour = fields[1] === '*';
    if (this.#nextOnClock(0) === undefined) throw new RangeError('no date matches it');
  }

  /** Returns the first time after an instant; undefined where there is none. */
  after(instantMs: number): number | undefined {
    let first: number | undefined;
    let clock = this.#nextOnClock(instantMs + Math.min(...this.#offsetsAround(instantMs)));
    // Around a change, the clock's order is not that of time.
    while (clock !== undefined && (first === undefined || clock < first + Math.max(...this.#offsetsAround(first)))) {
      for (const time of this.#instantsOf(clock)) {
        if (time > instantMs && (first === undefined || time < first)) first = time;
      }
      clock = this.#nextOnClock(clock);
    }
    return first;
  }

  /** When a time of the expression comes, where the clocks show it once, twice or never. */
  #instantsOf(clockMs: number): readonly number[] {
    const before = zoneOffsetMs(clockMs - FURTHEST_MS, this.#zone);
    const after = zoneOffsetMs(clockMs + FURTHEST_MS, this.#zone);
    const shown = [...new Set([before, after])]
      .map((offset) => clockMs - offset)
      .filter((time) => time + zoneOffsetMs(time, this.#zone) === clockMs)
      .sort((a, b) => a - b);
    if (this.#isEveryHour) return shown;
    return [shown[0] ?? clockMs - before];
  }

  #offsetsAround(instantMs: number): readonly number[] {
    return [-FURTHEST_MS, 0, FURTHEST_MS].map((distance) => zoneOffsetMs(instantMs + distance, this.#zone));
  }

  #nextOnClock(clockMs: number): number | undefined {
    return this.#cron.nextRun(new Date(clockMs))?.getTime();
  }
}
