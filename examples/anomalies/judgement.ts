/** One observation, as a detector sees it and as it is. */
export interface Scored {
  readonly score: number;
  readonly isFaulty: boolean;
}

/** Returns the average precision of the scores: the mean, over the faulty ones, of the share of faulty ones among all with a score that is as high. Ties count as one. */
export function averagePrecision(scored: readonly Scored[]): number {
  const faulty = scored.filter((each) => each.isFaulty).length;
  const sorted = [...scored].sort((a, b) => b.score - a.score);
  let [seen, found, sum] = [0, 0, 0];
  while (seen < sorted.length) {
    const { score } = sorted[seen] as Scored;
    let foundHere = 0;
    for (; seen < sorted.length && sorted[seen]?.score === score; seen += 1) {
      if (sorted[seen]?.isFaulty === true) foundHere += 1;
    }
    found += foundHere;
    sum += foundHere * (found / seen);
  }
  return faulty === 0 ? Number.NaN : sum / faulty;
}

/** Reads a training set's data.csv: fields may be quoted. */
export function readCsv(text: string): readonly Readonly<Record<string, string>>[] {
  const [head = [], ...rows] = text
    .trim()
    .split(/\r?\n/)
    .map((line) =>
      [...`${line},`.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*)),/g)].map(([, quoted, plain]) =>
        quoted === undefined ? (plain as string) : quoted.replaceAll('""', '"'),
      ),
    );
  return rows.map((row) => Object.fromEntries(head.map((name, index) => [name, row[index] ?? ''])));
}

/**
 * Returns, for each value, how many standard deviations it is from those before it, up to `most`: the rule without seasons. 0 while there are fewer than 20.
 *
 * @param values - of one series, by time
 */
export function plainDeviations(values: readonly number[], most: number): readonly number[] {
  return values.map((value, at) => {
    const before = values.slice(Math.max(0, at - most), at);
    if (before.length < 20) return 0;
    const mean = before.reduce((sum, each) => sum + each, 0) / before.length;
    const variance = before.reduce((sum, each) => sum + (each - mean) ** 2, 0) / before.length;
    return (value - mean) / Math.sqrt(variance);
  });
}
