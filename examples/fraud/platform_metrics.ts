/** One value of a metric, with its labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What `/metrics` of a role shows. */
export class PlatformMetrics {
  readonly #lines: readonly string[];

  private constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  static async read(url: string): Promise<PlatformMetrics> {
    return new PlatformMetrics((await (await fetch(`${url}/metrics`)).text()).split('\n'));
  }

  samples(name: string): readonly Sample[] {
    return this.#lines.flatMap((line) => {
      const [, found, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (found !== name) return [];
      const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]);
      return [{ labels: Object.fromEntries(pairs), value: Number(value) }];
    });
  }

  /** Returns the sum of a metric's values whose labels these are. */
  sum(name: string, labels: Readonly<Record<string, readonly string[]>> = {}): number {
    return this.samples(name)
      .filter((sample) => Object.entries(labels).every(([key, values]) => values.includes(sample.labels[key] ?? '')))
      .reduce((sum, { value }) => sum + value, 0);
  }

  /**
   * Returns a quantile of what a histogram has counted since `before`, linear within its bucket, as Prometheus' `histogram_quantile` has it.
   *
   * @returns NaN where nothing was counted
   */
  quantile(name: string, quantile: number, before: PlatformMetrics): number {
    const earlier = new Map(before.samples(`${name}_bucket`).map(({ labels, value }) => [labels.le, value]));
    const buckets = this.samples(`${name}_bucket`).map(({ labels: { le = '' }, value }) => ({
      ...{ to: le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), count: value - (earlier.get(le) ?? 0) },
    }));
    const rank = quantile * (buckets.at(-1)?.count ?? 0);
    let [from, below] = [0, 0];
    for (const { to, count } of buckets) {
      if (count >= rank && count > 0)
        return to === Number.POSITIVE_INFINITY ? from : from + ((to - from) * (rank - below)) / (count - below);
      [from, below] = [to, count];
    }
    return Number.NaN;
  }
}
