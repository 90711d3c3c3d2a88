import { distance } from 'fastest-levenshtein';

/** Longer names, and longer lists, are not compared: an error must stay cheap. */
const LONGEST = 64;
const MOST_COMPARED = 2_000;
/** Of the letters of a name, how many may differ. */
const SIMILAR = 0.4;

/** Returns the known name that was probably meant; undefined where none is similar. */
export function similarName(name: string, known: readonly string[]): string | undefined {
  if (name.length > LONGEST || known.length > MOST_COMPARED) return undefined;
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    if (candidate.length > LONGEST) continue;
    const differing = distance(name.toLowerCase(), candidate.toLowerCase());
    if (differing >= fewest || differing > SIMILAR * Math.max(name.length, candidate.length)) continue;
    [best, fewest] = [candidate, differing];
  }
  return best;
}

/** Returns what an error about an unknown name ends with: `there is fraud@1, user@1 (did you mean "fraud@1"?)`. */
export function knownNames(name: string, known: readonly string[]): string {
  if (known.length === 0) return 'there is none';
  const meant = similarName(name, known);
  return `there is ${known.join(', ')}${meant === undefined ? '' : ` (did you mean "${meant}"?)`}`;
}
