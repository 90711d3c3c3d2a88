/** An attribute in the JSON form of OTLP. */
interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string };
}

interface NumberPoint {
  readonly attributes?: readonly Attribute[];
  readonly asDouble?: number | string;
}

interface HistogramPoint {
  readonly attributes?: readonly Attribute[];
  readonly count?: number | string;
  readonly sum?: number | string;
  readonly bucketCounts?: readonly (number | string)[];
  readonly explicitBounds?: readonly number[];
}

/** A metric in the JSON form of OTLP. */
export interface OtlpMetric {
  readonly name: string;
  readonly sum?: { readonly dataPoints: readonly NumberPoint[]; readonly isMonotonic?: boolean };
  readonly gauge?: { readonly dataPoints: readonly NumberPoint[] };
  readonly histogram?: { readonly dataPoints: readonly HistogramPoint[] };
}

const keyOf = (name: string, labels: readonly (readonly [string, string])[]): string =>
  `${name} ${JSON.stringify([...labels].sort(([a], [b]) => (a < b ? -1 : 1)))}`;

/** Returns the values that `GET /metrics` shows, by name and labels: of Prometheus' text format. */
export function prometheusSamples(text: string): ReadonlyMap<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name = '', , labels = '', value = ''] = /^([a-zA-Z_:][\w:]*)(\{(.*)\})? (\S+)$/s.exec(line) ?? [];
    if (name === '') continue;
    const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/gs)].map(
      ([, key = '', quoted = '']) =>
        [key, quoted.replace(/\\(.)/gs, (_, escaped) => (escaped === 'n' ? '\n' : escaped))] as const,
    );
    samples.set(keyOf(name, pairs), value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value));
  }
  return samples;
}

/** Returns the same of metrics as OTLP sends them, by the rules that Prometheus takes OTLP in by. */
export function otlpSamples(metrics: readonly OtlpMetric[]): ReadonlyMap<string, number> {
  const samples = new Map<string, number>();
  for (const { name, sum, gauge, histogram } of metrics) {
    for (const { attributes, asDouble = 0 } of [...(sum?.dataPoints ?? []), ...(gauge?.dataPoints ?? [])]) {
      samples.set(keyOf(name, labelsOf(attributes)), Number(asDouble));
    }
    for (const {
      attributes,
      count = 0,
      sum: total = 0,
      bucketCounts = [],
      explicitBounds = [],
    } of histogram?.dataPoints ?? []) {
      const labels = labelsOf(attributes);
      let below = 0;
      bucketCounts.forEach((own, bucket) => {
        below += Number(own);
        const le = bucket < explicitBounds.length ? String(explicitBounds[bucket]) : '+Inf';
        samples.set(keyOf(`${name}_bucket`, [...labels, ['le', le]]), below);
      });
      samples.set(keyOf(`${name}_sum`, labels), Number(total));
      samples.set(keyOf(`${name}_count`, labels), Number(count));
    }
  }
  return samples;
}

const labelsOf = (attributes: readonly Attribute[] = []): readonly (readonly [string, string])[] =>
  attributes.map(({ key, value }) => [key, value.stringValue ?? ''] as const);
