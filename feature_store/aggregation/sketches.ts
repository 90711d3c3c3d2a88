import { createRequire } from 'node:module';
import { stableHash32 } from '#kernel/hashes/hash';

// Approximate summaries as plain data, so that state and snapshots can hold them. Values are kept as they are until there are many, and
// folded in together then: small windows are exact, and a value costs a push.

const require = createRequire(import.meta.url);

interface Centroid {
  readonly mean: number;
  readonly n: number;
}
interface TDigestLike {
  push_centroid(centroids: Centroid | readonly Centroid[]): void;
  push(values: number | readonly number[]): void;
  compress(): void;
  toArray(): readonly Centroid[];
}
const { TDigest } = require('tdigest') as { TDigest: new (delta?: number) => TDigestLike };

/** 2^10 registers: a standard error of 1.04 / √1024 = 3.25 %. */
const INDEX_BITS = 10;
const REGISTERS = 2 ** INDEX_BITS;
const BIAS = 0.7213 / (1 + 1.079 / REGISTERS);
const EXACT_VALUES = 128;
const SECOND_HASH = 0x9747b28c;

/** Distinct values: exactly up to 128, by HyperLogLog beyond. */
export interface DistinctSketch {
  values: string[];
  registers: number[] | undefined;
}

export const emptyDistinct = (): DistinctSketch => ({ values: [], registers: undefined });

export function addDistinct(sketch: DistinctSketch, value: string): void {
  if (sketch.registers !== undefined) {
    register(sketch.registers, value);
    return;
  }
  if (sketch.values.includes(value)) return;
  sketch.values.push(value);
  if (sketch.values.length <= EXACT_VALUES) return;
  sketch.registers = new Array<number>(REGISTERS).fill(0);
  for (const each of sketch.values) register(sketch.registers, each);
  sketch.values = [];
}

export function mergeDistinct(into: DistinctSketch, other: DistinctSketch): void {
  if (other.registers !== undefined) {
    const held = into.registers;
    into.registers = other.registers.map((rank, index) => Math.max(rank, held?.[index] ?? 0));
    for (const value of into.values) register(into.registers, value);
    into.values = [];
  }
  for (const value of other.values) addDistinct(into, value);
}

/**
 * Source: Flajolet, Fusy, Gandouet and Meunier (2007), "HyperLogLog", with linear counting of small numbers. It is written out because the
 * libraries to be had take a quarter of a millisecond for a value (docs/adr/0009).
 */
export function countDistinct({ values, registers }: DistinctSketch): number {
  if (registers === undefined) return values.length;
  let harmonic = 0;
  let empty = 0;
  for (const rank of registers) {
    harmonic += 2 ** -rank;
    if (rank === 0) empty += 1;
  }
  const estimate = (BIAS * REGISTERS * REGISTERS) / harmonic;
  if (estimate <= 2.5 * REGISTERS && empty > 0) return Math.round(REGISTERS * Math.log(REGISTERS / empty));
  return Math.round(estimate);
}

/** One hash says which register, another one how rare the value is. */
function register(registers: number[], value: string): void {
  const index = stableHash32(value) >>> (32 - INDEX_BITS);
  const rank = Math.clz32(stableHash32(value, SECOND_HASH)) + 1;
  if (rank > (registers[index] as number)) registers[index] = rank;
}

/** Accuracy: at most 1 % of rank in the middle, better towards the ends. Source: Dunning and Ertl (2019), "Computing extremely accurate quantiles using t-digests". */
const DELTA = 0.01;
const RAW_VALUES = 256;
const MOST_UNFOLDED = 4_096;

/** Quantiles: exactly up to 256 values, by t-digest beyond. */
export interface QuantileSketch {
  values: number[];
  centroids: Centroid[];
}

export const emptyQuantiles = (): QuantileSketch => ({ values: [], centroids: [] });

export function addQuantileValue(sketch: QuantileSketch, value: number): void {
  sketch.values.push(value);
  if (sketch.values.length > RAW_VALUES) foldQuantiles(sketch);
}

export function mergeQuantiles(into: QuantileSketch, other: QuantileSketch): void {
  for (const value of other.values) into.values.push(value);
  for (const centroid of other.centroids) into.centroids.push(centroid);
  // Folding costs more than reading a few thousand: what is merged only to be read once is not worth it.
  if (into.values.length + into.centroids.length > MOST_UNFOLDED) foldQuantiles(into);
}

/**
 * @param q - 0 to 1; of few values the nearest rank is taken, of many the centroid's mean at that rank, drawn out linearly to its neighbour
 * @returns null for no values
 */
export function quantileOf({ values, centroids }: QuantileSketch, q: number): number | null {
  const all = values
    .map((mean) => ({ mean, n: 1 }))
    .concat(centroids)
    .sort((a, b) => a.mean - b.mean);
  if (all.length === 0) return null;
  if (centroids.length === 0) return (all[Math.max(0, Math.ceil(q * all.length) - 1)] as Centroid).mean;
  const wanted = q * all.reduce((total, { n }) => total + n, 0);
  let before = 0;
  let previous: { readonly middle: number; readonly mean: number } | undefined;
  for (const { mean, n } of all) {
    const middle = before + n / 2;
    if (middle >= wanted) {
      if (previous === undefined) return mean;
      const share = (wanted - previous.middle) / (middle - previous.middle);
      const step = mean - previous.mean;
      // The difference of two doubles can be infinite where what lies between them is not.
      return Number.isFinite(step) ? previous.mean + share * step : previous.mean * (1 - share) + mean * share;
    }
    previous = { middle, mean };
    before += n;
  }
  return (all[all.length - 1] as Centroid).mean;
}

/** The digest multiplies differences by counts: values beyond this could overflow there, and are folded in smaller units. */
const LARGE_VALUE = 2 ** 960;
const SMALLER_UNIT = 2 ** 64;

function foldQuantiles(sketch: QuantileSketch): void {
  const isLarge = (value: number): boolean => Math.abs(value) > LARGE_VALUE;
  const unit = sketch.values.some(isLarge) || sketch.centroids.some(({ mean }) => isLarge(mean)) ? SMALLER_UNIT : 1;
  const digest = new TDigest(DELTA);
  if (sketch.centroids.length > 0)
    digest.push_centroid(sketch.centroids.map(({ mean, n }) => ({ mean: mean / unit, n })));
  digest.push(unit === 1 ? sketch.values : sketch.values.map((value) => value / unit));
  digest.compress();
  sketch.centroids = digest.toArray().map(({ mean, n }) => ({ mean: mean * unit, n }));
  sketch.values = [];
}
