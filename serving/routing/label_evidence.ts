import { populationStability } from '#monitoring/drift/population_stability';
import { LastValues } from './last_values.ts';

// Whether two arms differ, when units are assigned to them by chance with a known probability. Where the arms are alike, the value of a unit says nothing
// about its arm: a bettor on arms is expected to keep its money, and by Ville's inequality ever comes to 1 / α times as much with a probability of α at most,
// however often one looks and whatever the values are like (Ramdas, Grünwald, Vovk and Shafer, 2023: "Game-theoretic statistics and safe anytime-valid
// inference").

/** Values that ranks are taken among. */
const POOLED = 1_000;
/** Of the values' distribution over the pooled ranks: an arm is higher or lower, wider or narrower. */
const TILTS = [-4, -1.5, 1.5, 4];
const SPREADS = [-3, 3];
const BINS = [4, 10];

/** What a bet on a unit multiplies the bettor's money by, as a logarithm. @param ratio - how many times likelier its value is in the canary */
function gainOf(ratio: number, isCanary: boolean, share: number): number {
  const odds = share * ratio + 1 - share;
  return Math.log((isCanary ? ratio : 1) / odds);
}

/** The logarithm of the mean of numbers that are given as logarithms. */
function logMean(logs: readonly number[]): number {
  const largest = Math.max(...logs);
  return largest + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - largest), 0) / logs.length);
}

/** Learns in which of equally full bins the canary's values are, and in which those of the control. */
class LearnedBins {
  readonly #canary: Float64Array;
  readonly #control: Float64Array;
  #canaryTotal: number;
  #controlTotal: number;

  constructor(bins: number) {
    this.#canary = new Float64Array(bins).fill(1);
    this.#control = new Float64Array(bins).fill(1);
    this.#canaryTotal = bins;
    this.#controlTotal = bins;
  }

  bet(rank: number, isCanary: boolean, share: number): number {
    const bins = this.#canary.length;
    const bin = Math.min(bins - 1, Math.floor(rank * bins));
    const [canary, control] = [this.#canary[bin] as number, this.#control[bin] as number];
    const gain = gainOf((canary / this.#canaryTotal) * (this.#controlTotal / control), isCanary, share);
    if (isCanary) {
      this.#canary[bin] = canary + 1;
      this.#canaryTotal += 1;
    } else {
      this.#control[bin] = control + 1;
      this.#controlTotal += 1;
    }
    return gain;
  }
}

/** Evidence that the values of two arms differ, of one value a unit. */
export class LabelEvidence {
  readonly #tilts = new Float64Array(TILTS.length);
  readonly #spreads = new Float64Array(SPREADS.length);
  readonly #bins = BINS.map((bins) => new LearnedBins(bins));
  readonly #learned = new Float64Array(BINS.length);
  /** Ascending; of both arms. */
  readonly #pooled = new Float64Array(POOLED);
  #pooledCount = 0;
  readonly #canary = new LastValues();
  readonly #control = new LastValues();
  #log = 0;

  /**
   * @param value - of a unit; one that is not finite is left out
   * @param share - with which probability the unit was assigned to the canary, above 0 and below 1
   */
  see(value: number, isCanary: boolean, share: number): void {
    if (!Number.isFinite(value)) return;
    const rank = this.#rankOf(value);
    for (const [at, tilt] of TILTS.entries()) {
      const ratio = (Math.exp(tilt * (rank - 0.5)) * tilt) / 2 / Math.sinh(tilt / 2);
      this.#tilts[at] = (this.#tilts[at] as number) + gainOf(ratio, isCanary, share);
    }
    for (const [at, spread] of SPREADS.entries()) {
      const ratio = Math.exp(spread * (4 * (rank - 0.5) ** 2 - 1 / 3));
      this.#spreads[at] = (this.#spreads[at] as number) + gainOf(ratio, isCanary, share);
    }
    for (const [at, bins] of this.#bins.entries()) {
      this.#learned[at] = (this.#learned[at] as number) + bins.bet(rank, isCanary, share);
    }
    (isCanary ? this.#canary : this.#control).add(value);
    this.#keep(value);
    this.#log = logMean([...this.#tilts, ...this.#spreads, ...this.#learned]);
  }

  /** The logarithm of what the evidence comes to: at log(1 / α) the arms differ, with a false alarm in a share of α at most. */
  get log(): number {
    return this.#log;
  }

  /** Units of the canary that were seen. */
  get units(): number {
    return this.#canary.count;
  }

  /** The population stability index of the canary's last units against the control's, without what chance alone comes to. */
  shift(bins = 10): number {
    const [own, usual] = [this.#canary.values(), this.#control.values()];
    if (own.length === 0 || usual.length === 0) return 0;
    const byChance = (bins - 1) * (1 / own.length + 1 / usual.length);
    return populationStability(usual, own, bins) - byChance;
  }

  /** Where a value lies among those before it, 0 to 1; equal ones count half. */
  #rankOf(value: number): number {
    const count = this.#pooledCount;
    if (count === 0) return 0.5;
    const [from, to] = [this.#firstNotBelow(value, false), this.#firstNotBelow(value, true)];
    return (from + to) / 2 / count;
  }

  /** @param isAbove - the first above, instead */
  #firstNotBelow(value: number, isAbove: boolean): number {
    let [low, high] = [0, this.#pooledCount];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#pooled[middle] as number;
      if (other < value || (isAbove && other === value)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The first values: later ones are ranked among them. */
  #keep(value: number): void {
    if (this.#pooledCount === POOLED) return;
    const at = this.#firstNotBelow(value, true);
    this.#pooled.copyWithin(at + 1, at, this.#pooledCount);
    this.#pooled[at] = value;
    this.#pooledCount += 1;
  }
}

/** How many times likelier an event may be in the canary. */
const RATIOS = [4, 30];

/** Evidence that an event is likelier in the canary, of one observation a unit. */
export class EventEvidence {
  readonly #logs = new Float64Array(RATIOS.length);
  #log = 0;

  /** A unit for which the event happened. @param share - as in {@link LabelEvidence.see} */
  see(isCanary: boolean, share: number): void {
    for (const [at, ratio] of RATIOS.entries()) {
      this.#logs[at] = (this.#logs[at] as number) + gainOf(ratio, isCanary, share);
    }
    this.#log = logMean([...this.#logs]);
  }

  /** As {@link LabelEvidence.log}. */
  get log(): number {
    return this.#log;
  }
}
