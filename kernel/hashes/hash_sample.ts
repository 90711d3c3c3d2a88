/** Things with the smallest hashes: a random sample, the same in whatever order they come and however they are merged. By hash, ascending. */
export type HashSample<T> = (readonly [hash: number, value: T])[];

/** @returns false when all that are to come, in ascending order, have no place either */
export function addToSample<T>(sample: HashSample<T>, hash: number, value: () => T, most: number): boolean {
  if (sample.length >= most && hash >= (sample[sample.length - 1] as readonly [number, T])[0]) return false;
  let low = 0;
  for (let high = sample.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((sample[middle] as readonly [number, T])[0] <= hash) low = middle + 1;
    else high = middle;
  }
  sample.splice(low, 0, [hash, value()]);
  if (sample.length > most) sample.pop();
  return true;
}

export function mergeSamples<T>(into: HashSample<T>, other: HashSample<T>, most: number): void {
  for (const [hash, value] of other) if (!addToSample(into, hash, () => value, most)) break;
}
