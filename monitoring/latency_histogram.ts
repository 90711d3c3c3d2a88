import { Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from './metrics.ts';

type Labels<Label extends string> = Readonly<Record<Label, string>>;

/** Latencies with one set of labels. */
export class LatencyCounts<Label extends string = string> {
  readonly labels: Labels<Label>;
  /** By bucket, not summed up; the last is above all bounds. */
  readonly counts = new Float64Array(LATENCY_BUCKETS_SECONDS.length + 1);
  sum = 0;

  constructor(labels: Labels<Label>) {
    this.labels = labels;
  }

  /** Counts one latency, in milliseconds. */
  observeMs(ms: number): void {
    const seconds = ms / 1_000;
    let bucket = 0;
    while (bucket < LATENCY_BUCKETS_SECONDS.length && seconds > (LATENCY_BUCKETS_SECONDS[bucket] as number))
      bucket += 1;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += seconds;
  }
}

/**
 * A histogram of latencies whose labels are looked up once, not for each value: an observation is an addition. What prom-client has
 * makes an object and a hash of the labels each time.
 */
export class LatencyHistogram<Label extends string> extends Histogram<Label> {
  readonly #all: LatencyCounts<Label>[] = [];
  readonly #name: string;
  readonly #help: string;

  constructor(settings: {
    readonly name: string;
    readonly help: string;
    readonly labelNames: Label[];
    readonly registers: Registry[];
  }) {
    super({ ...settings, buckets: LATENCY_BUCKETS_SECONDS });
    this.#name = settings.name;
    this.#help = settings.help;
  }

  /** Returns where latencies with these labels are counted; called once for each set of labels. */
  countsOf(labels: Labels<Label>): LatencyCounts<Label> {
    const counts = new LatencyCounts(labels);
    this.#all.push(counts);
    return counts;
  }

  override async get() {
    const values = this.#all.flatMap(({ labels, counts, sum }) => {
      let below = 0;
      const buckets = Array.from(counts, (count, bucket) => {
        below += count;
        const le = LATENCY_BUCKETS_SECONDS[bucket] ?? '+Inf';
        return { metricName: `${this.#name}_bucket`, labels: { ...labels, le }, value: below };
      });
      return [
        ...buckets,
        { metricName: `${this.#name}_sum`, labels, value: sum },
        { metricName: `${this.#name}_count`, labels, value: below },
      ];
    });
    return { name: this.#name, help: this.#help, type: 'histogram', values, aggregator: 'sum' } as never;
  }

  /** What a registry prints. */
  getForPromString() {
    return this.get();
  }
}
