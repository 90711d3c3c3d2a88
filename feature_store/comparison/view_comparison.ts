import { Random } from '#kernel/random';
import { measuredValue } from '../aggregation/statistics.ts';
import { ViewComputation } from '../aggregation/view_computation.ts';
import type { FeatureView } from '../definitions/feature_view.ts';
import type { EntityKey } from '../definitions/values/entity_key.ts';
import type { FeatureValue } from '../definitions/values/feature_row.ts';
import { isSameValue } from '../definitions/values/value_codec.ts';
import type { FeatureType } from '../definitions/values/value_type.ts';
import { type FoundEvent, rowsOfEntity } from '../explanation/entity_replay.ts';
import { valuesAsOf } from '../retrieval/as_of.ts';

/** A moment of an entity at which a feature differs. */
export interface FeatureDifference {
  readonly entityKey: EntityKey;
  readonly timeMs: number;
  readonly before: FeatureValue;
  readonly after: FeatureValue;
  /** Of numbers; infinite where one side has no value or none is a number. */
  readonly distance: number;
}

/** What of a feature is on one side. */
export interface SideStatistics {
  readonly nulls: number;
  /** Of values that are numbers. */
  readonly numbers: number;
  readonly mean: number;
  /** Some of them, drawn evenly. */
  readonly sample: readonly number[];
}

/** How a feature differs between two definitions. */
export interface FeatureComparison {
  readonly feature: string;
  readonly moments: number;
  readonly changed: number;
  readonly entitiesChanged: number;
  /** Of values that are numbers on both sides. */
  readonly meanDistance: number;
  readonly before: SideStatistics;
  readonly after: SideStatistics;
  /** The largest first. */
  readonly largest: readonly FeatureDifference[];
}

/** Values of a row by feature. */
export type RowValues = Readonly<Record<string, FeatureValue>>;

/** A moment of an entity at which both definitions are read besides, such as that of a label. */
export interface AskedMoment {
  readonly entityKey: EntityKey;
  readonly timeMs: number;
  /** Called once; undefined is where a reader at that time sees no row. */
  read(before: RowValues | undefined, after: RowValues | undefined): void;
}

export interface ComparisonRange {
  /** Moments since then are compared; earlier events are counted in windows. */
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly allowedLatenessMs: number;
}

const SAMPLE = 10_000;
const LARGEST = 20;

/**
 * Two definitions of a view, computed from the same events. A moment is a time at which one of the two has a row of an entity: both are looked at as a reader at that
 * time sees them.
 */
export class ViewComparison {
  readonly features: readonly string[];
  readonly #range: ComparisonRange;
  readonly #sides: readonly [Side, Side];
  readonly #counts: readonly FeatureCounts[];
  readonly #asked = new Map<EntityKey, AskedMoment[]>();
  entities = 0;
  entitiesChanged = 0;
  moments = 0;

  /** Features are those that both have. */
  constructor(before: FeatureView, after: FeatureView, range: ComparisonRange, asked: readonly AskedMoment[] = []) {
    this.features = featuresOfBoth([before, after]);
    this.#range = range;
    this.#sides = [new Side(before, range), new Side(after, range)];
    this.#counts = this.features.map((name) => new FeatureCounts(name, before, after));
    for (const moment of asked) {
      const known = this.#asked.get(moment.entityKey);
      if (known === undefined) this.#asked.set(moment.entityKey, [moment]);
      else known.push(moment);
    }
  }

  /** How far back of `sinceMs` events matter, ms. */
  get horizonMs(): number {
    return Math.max(...this.#sides.map(({ horizonMs }) => horizonMs));
  }

  /** Rows that each definition gives, and how long it has computed, ms. */
  get costs(): readonly [SideCost, SideCost] {
    const [before, after] = this.#sides;
    return [before.cost, after.cost];
  }

  /** @param events - of one entity, in the order of their arrival */
  add(entityKey: EntityKey, events: readonly FoundEvent[]): void {
    const rows = this.#sides.map((side) => side.rowsOf(events)) as [EntityRows, EntityRows];
    const asked = this.#asked.get(entityKey);
    if (asked !== undefined) {
      const [was, is] = [rows[0].reader(), rows[1].reader()];
      for (const moment of asked.sort((a, b) => a.timeMs - b.timeMs))
        moment.read(was(moment.timeMs), is(moment.timeMs));
      this.#asked.delete(entityKey);
    }
    const { sinceMs } = this.#range;
    const times = [...new Set([...rows[0].times, ...rows[1].times])].filter((timeMs) => timeMs >= sinceMs);
    if (times.length === 0) return;
    times.sort((a, b) => a - b);
    const changed = new Set<FeatureCounts>();
    const [before, after] = [rows[0].reader(), rows[1].reader()];
    for (const timeMs of times) {
      const was = before(timeMs);
      const is = after(timeMs);
      for (const counts of this.#counts) {
        const of = { entityKey, timeMs, before: was?.[counts.feature] ?? null, after: is?.[counts.feature] ?? null };
        if (counts.add(of)) changed.add(counts);
      }
    }
    this.entities += 1;
    this.moments += times.length;
    for (const counts of changed) counts.entitiesChanged += 1;
    if (changed.size > 0) this.entitiesChanged += 1;
  }

  /** Reads the moments of entities that have no events: neither definition has a row of them. */
  finish(): void {
    for (const moments of this.#asked.values()) for (const moment of moments) moment.read(undefined, undefined);
    this.#asked.clear();
  }

  results(): readonly FeatureComparison[] {
    return this.#counts.map((counts) => counts.result());
  }
}

export interface SideCost {
  readonly rows: number;
  readonly computeMs: number;
}

/** Returns the features that both have, in the order of the first. */
export const featuresOfBoth = ([before, after]: readonly [FeatureView, FeatureView]): readonly string[] =>
  Object.keys(before.features).filter((name) => Object.hasOwn(after.features, name));

class Side {
  readonly #view: FeatureView;
  readonly #computation: ViewComputation;
  readonly #range: ComparisonRange;
  #rows = 0;
  #computeMs = 0;

  constructor(view: FeatureView, range: ComparisonRange) {
    this.#view = view;
    this.#computation = new ViewComputation(view, range.allowedLatenessMs);
    this.#range = range;
  }

  get horizonMs(): number {
    return this.#computation.horizonMs + this.#view.ttlMs;
  }

  get cost(): SideCost {
    return { rows: this.#rows, computeMs: this.#computeMs };
  }

  rowsOf(events: readonly FoundEvent[]): EntityRows {
    const beganMs = performance.now();
    const rows = rowsOfEntity(this.#computation, events, this.#range);
    this.#computeMs += performance.now() - beganMs;
    this.#rows += rows.size;
    return new EntityRows(this.#view, rows);
  }
}

class EntityRows {
  readonly times: readonly number[];
  readonly #view: FeatureView;
  readonly #rows: ReadonlyMap<number, RowValues>;

  constructor(view: FeatureView, rows: ReadonlyMap<number, RowValues>) {
    this.#view = view;
    this.#rows = rows;
    this.times = [...rows.keys()].sort((a, b) => a - b);
  }

  /** Returns a function that reads as a reader at a time does; each time must not be before that of the call before. */
  reader(): (timeMs: number) => RowValues | undefined {
    let next = 0;
    return (timeMs) => {
      while ((this.times[next] ?? Number.POSITIVE_INFINITY) <= timeMs) next += 1;
      const rowMs = this.times[next - 1];
      if (rowMs === undefined || timeMs - rowMs > this.#view.ttlMs) return undefined;
      return valuesAsOf(this.#view, this.#rows.get(rowMs) as RowValues, timeMs);
    };
  }
}

class SideCounts {
  #nulls = 0;
  #numbers = 0;
  #sum = 0;
  readonly #sample: number[] = [];
  readonly #random: Random;
  readonly #type: FeatureType | undefined;

  constructor(seed: number, type: FeatureType | undefined) {
    this.#random = new Random(seed);
    this.#type = type;
  }

  /** @returns the value as a number; undefined where it is none */
  add(value: FeatureValue): number | undefined {
    if (value === null) this.#nulls += 1;
    const number = measuredValue(value, this.#type);
    if (typeof number !== 'number') return undefined;
    this.#numbers += 1;
    this.#sum += number;
    // Each of those so far has the same chance to be in the sample (Vitter 1985, algorithm R).
    if (this.#sample.length < SAMPLE) this.#sample.push(number);
    else {
      const place = this.#random.integer(0, this.#numbers);
      if (place < SAMPLE) this.#sample[place] = number;
    }
    return number;
  }

  result(): SideStatistics {
    const numbers = this.#numbers;
    return {
      nulls: this.#nulls,
      numbers,
      mean: numbers === 0 ? Number.NaN : this.#sum / numbers,
      sample: this.#sample,
    };
  }
}

class FeatureCounts {
  readonly feature: string;
  entitiesChanged = 0;
  #moments = 0;
  #changed = 0;
  #compared = 0;
  #distance = 0;
  readonly #before: SideCounts;
  readonly #after: SideCounts;
  #largest: FeatureDifference[] = [];

  constructor(feature: string, before: FeatureView, after: FeatureView) {
    this.feature = feature;
    this.#before = new SideCounts(1, before.features[feature]?.type);
    this.#after = new SideCounts(2, after.features[feature]?.type);
  }

  /** @returns whether the two differ */
  add(of: Omit<FeatureDifference, 'distance'>): boolean {
    const { before, after } = of;
    this.#moments += 1;
    const was = this.#before.add(before);
    const is = this.#after.add(after);
    const areNumbers = was !== undefined && is !== undefined;
    const distance = areNumbers ? Math.abs(is - was) : Number.POSITIVE_INFINITY;
    if (areNumbers) {
      this.#compared += 1;
      this.#distance += distance;
    }
    if (isSameValue(before, after)) return false;
    this.#changed += 1;
    this.#keep({ ...of, distance });
    return true;
  }

  #keep(difference: FeatureDifference): void {
    const least = this.#largest.at(-1);
    if (least !== undefined && this.#largest.length >= LARGEST && difference.distance <= least.distance) return;
    // After those that are as large: of them the first that were found stay.
    const found = this.#largest.findIndex(({ distance }) => distance < difference.distance);
    this.#largest.splice(found < 0 ? this.#largest.length : found, 0, difference);
    this.#largest = this.#largest.slice(0, LARGEST);
  }

  result(): FeatureComparison {
    return {
      ...{ feature: this.feature, moments: this.#moments, changed: this.#changed },
      ...{ entitiesChanged: this.entitiesChanged, largest: this.#largest },
      meanDistance: this.#compared === 0 ? Number.NaN : this.#distance / this.#compared,
      ...{ before: this.#before.result(), after: this.#after.result() },
    };
  }
}
