import { contentHash } from '#kernel/hashes/content_hash';
import { HOUR_MS } from '#kernel/time';
import { type Candidate, type CountedEvent, WINDOWS } from './definitions.ts';
import { ALLOWED_LATENESS_MS } from './sequence.ts';

/** An event as it was sent. */
export interface LoggedEvent extends CountedEvent {
  readonly id: string;
  readonly account: string;
  readonly arrivedAtMs: number;
  /** Place in the topic. */
  readonly place: number;
}

/** What state holds under its definitions, as it was saved or is now. */
interface Held {
  readonly candidates: readonly Candidate[];
  /** By slot: the first place in the topic whose event it has seen. */
  readonly since: ReadonlyMap<string, number>;
  /** Slots that may have seen events of before as well: of another state that was merged into theirs. */
  readonly mixed: ReadonlySet<string>;
  /** By slot and account: windows that reach further back than this hold an unknown part of what was before, ms. */
  readonly wholeFrom: ReadonlyMap<string, number>;
}

const placeOf = (slot: string, account: string): string => `${slot} of ${account}`;

/** What a value is to be: exactly, or at least and at most. */
export type Expected = { readonly value: unknown } | { readonly least: number; readonly most: number } | undefined;

/** The slow and obvious way: a list of all events, and for each slot of state from where on it has seen them (docs/adr/0017). */
export class Oracle {
  readonly #events: LoggedEvent[] = [];
  readonly #known = new Map<string, number>();
  #held: Held;
  #saved: Held & { readonly places: number };
  #places = 0;
  refused = 0;

  constructor(candidates: readonly Candidate[]) {
    this.#held = {
      ...{ candidates, wholeFrom: new Map(), mixed: new Set() },
      since: new Map(slotsOf(candidates).map((slot) => [slot, 0])),
    };
    this.#saved = { ...this.#held, places: 0 };
  }

  /** Counts an event unless it arrived too late, or its id has been seen. */
  add(event: LoggedEvent): void {
    this.#places = event.place + 1;
    const content = contentHash({
      amount: event.amount,
      merchant: event.merchant,
      at: event.at,
      account: event.account,
    });
    if (event.arrivedAtMs - event.at > ALLOWED_LATENESS_MS) {
      this.refused += 1;
      return;
    }
    // An account is the user of its events: ids are unique for each.
    const id = `${event.account} ${event.id}`;
    const seen = this.#known.get(id);
    if (seen !== undefined) {
      if (seen !== content) this.refused += 1;
      return;
    }
    this.#known.set(id, content);
    this.#events.push(event);
  }

  save(): void {
    this.#saved = { ...this.#held, places: this.#places };
  }

  /** The job was started from its newest snapshot with these definitions. */
  restore(candidates: readonly Candidate[], nowMs: number): void {
    const saved = this.#saved;
    const wholeFrom = new Map(saved.wholeFrom);
    if (reachOf(candidates) > reachOf(saved.candidates)) {
      const reach = reachOf(saved.candidates);
      for (const account of this.accounts) {
        const newest = this.newestAt(account) as number;
        // What the entity was forgotten with is gone to its last event.
        const from = nowMs - newest > reach ? newest + 1 : newest - reach;
        for (const slot of slotsOf(candidates)) {
          const place = placeOf(slot, account);
          wholeFrom.set(place, Math.max(from, wholeFrom.get(place) ?? Number.NEGATIVE_INFINITY));
        }
      }
    }
    const since = new Map(slotsOf(candidates).map((slot) => [slot, saved.since.get(slot) ?? saved.places]));
    const mixed = new Set(slotsOf(candidates).filter((slot) => saved.mixed.has(slot)));
    this.#held = { candidates, since, wholeFrom, mixed };
  }

  /** State was computed of all events. */
  refill(): void {
    const { candidates } = this.#held;
    this.#held = {
      ...{ candidates, wholeFrom: new Map(), mixed: new Set() },
      since: new Map(slotsOf(candidates).map((slot) => [slot, 0])),
    };
    this.save();
  }

  /** State of some candidates alone was computed of all events. What they share with others has its older part added. */
  refillOnly(only: readonly Candidate[]): void {
    const { candidates, wholeFrom, since, mixed } = this.#held;
    const others = slotsOf(candidates.filter((candidate) => !only.includes(candidate)));
    const filled = slotsOf(only).filter((slot) => !others.includes(slot));
    this.#held = {
      candidates,
      since: new Map([...since, ...filled.map((slot) => [slot, 0] as const)]),
      // An entity that the stream had forgotten has all of it.
      mixed: new Set(
        [...mixed, ...others.filter((slot) => since.get(slot) !== 0)].filter((slot) => !filled.includes(slot)),
      ),
      wholeFrom: new Map([...wholeFrom].filter(([place]) => !filled.some((slot) => place.startsWith(`${slot} of `)))),
    };
    this.save();
  }

  get accounts(): readonly string[] {
    return [...new Set(this.#events.map(({ account }) => account))];
  }

  newestAt(account: string): number | undefined {
    const times = this.#events.filter((event) => event.account === account).map(({ at }) => at);
    return times.length === 0 ? undefined : Math.max(...times);
  }

  /** Whether a slot has seen all events. */
  isWhole(candidate: Candidate): boolean {
    return candidate.slot === undefined || this.#held.since.get(candidate.slot) === 0;
  }

  /** @param asOfMs - not before the newest event */
  expected(account: string, candidate: Candidate, asOfMs: number): Expected {
    const mine = this.#events.filter((event) => event.account === account);
    let [newest, previous]: (LoggedEvent | undefined)[] = [];
    for (const event of mine) if (newest === undefined || event.at >= newest.at) [newest, previous] = [event, newest];
    if (newest === undefined) return undefined;
    const since = candidate.slot === undefined ? 0 : (this.#held.since.get(candidate.slot) as number);
    if (candidate.slot === 'previous') {
      // Kept with the newest event: it is what the definition of then gave. No event has as its previous one what was forgotten before it.
      const forgotten = previous !== undefined && newest.at - previous.at > HOUR_MS;
      return newest.place < since || forgotten || this.#held.mixed.has('previous')
        ? undefined
        : { value: candidate.expected({ events: [], newest, previous }, asOfMs) };
    }
    if (candidate.needs !== undefined) return undefined;
    const events = mine.filter(({ place }) => place >= since);
    const of = (list: readonly LoggedEvent[]) => candidate.expected({ events: list, newest, previous }, asOfMs);
    const isCount = candidate.feature.kind === 'window' && candidate.feature.aggregation === 'count';
    const wholeFrom = this.#held.wholeFrom.get(placeOf(candidate.slot ?? '', account)) ?? Number.NEGATIVE_INFINITY;
    if (candidate.slot !== undefined && this.#held.mixed.has(candidate.slot)) {
      const least = events.filter(({ at }) => at >= wholeFrom);
      return isCount ? { least: Number(of(least)), most: Number(of(mine)) } : undefined;
    }
    if (candidate.windowMs !== undefined && asOfMs - candidate.windowMs - HOUR_MS < wholeFrom) {
      if (!isCount) return undefined;
      return { least: Number(of(events.filter(({ at }) => at >= wholeFrom))), most: Number(of(events)) };
    }
    return { value: of(events) };
  }
}

const slotsOf = (candidates: readonly Candidate[]): string[] => [
  ...new Set(candidates.flatMap(({ slot }) => (slot === undefined ? [] : [slot]))),
];

/** Until how long after an event it is kept for windows at least. */
const reachOf = (candidates: readonly Candidate[]): number =>
  Math.max(WINDOWS['1h'], ...candidates.map(({ windowMs }) => windowMs ?? 0)) + ALLOWED_LATENESS_MS;
