import type { Clock } from '#kernel/time';
import type { AlertStatus } from '#serving/console/answers';
import type { AlertRule } from './alert_rules.ts';
import type { MetricReader, MetricValue } from './metric_reader.ts';

interface Seen {
  readonly sinceMs: number;
  /** As of the last look. */
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

interface Count {
  readonly atMs: number;
  readonly value: number;
}

/** Alerts that this process judges by its own metrics: looked at in turns, so that what holds for a while is known. */
export class OwnAlerts {
  readonly #read: MetricReader['read'];
  readonly #clock: Clock;
  readonly #rules: readonly AlertRule[];
  /** By rule and labels: what is broken, and since when. */
  readonly #broken = new Map<string, Seen & { readonly rule: AlertRule }>();
  /** By rule and labels: a counter over its window, the oldest first. */
  readonly #counts = new Map<string, Count[]>();

  constructor(
    { read, clock }: { readonly read: MetricReader['read']; readonly clock: Clock },
    rules: readonly AlertRule[],
  ) {
    this.#read = read;
    this.#clock = clock;
    this.#rules = rules;
  }

  /** Looks at every rule once. */
  async look(): Promise<void> {
    const nowMs = this.#clock.now();
    const metrics = new Map<string, Promise<readonly MetricValue[]>>();
    for (const { metric } of this.#rules) if (!metrics.has(metric)) metrics.set(metric, this.#read(metric, ''));
    for (const rule of this.#rules) {
      const values = (await metrics.get(rule.metric)) ?? [];
      const broken = new Set<string>();
      for (const [key, { labels, value }] of grouped(rule, values)) {
        const found = rule.of === 'gauge' ? value : this.#increase(key, value, nowMs, rule.windowMs);
        if (!(rule.of === 'gauge' ? rule.isBroken(found) : found > rule.most)) continue;
        broken.add(key);
        this.#broken.set(key, { rule, labels, value: found, sinceMs: this.#broken.get(key)?.sinceMs ?? nowMs });
      }
      for (const [key, seen] of this.#broken) if (seen.rule === rule && !broken.has(key)) this.#broken.delete(key);
    }
  }

  /** What is broken as of the last look: firing where it has held for as long as its rule says. */
  list(): readonly AlertStatus[] {
    const nowMs = this.#clock.now();
    return [...this.#broken.values()].map(({ rule, labels, value, sinceMs }) => ({
      ...{ name: rule.name, severity: rule.severity, kind: rule.kind },
      state: nowMs - sinceMs >= rule.forMs ? 'firing' : 'pending',
      ...{ summary: rule.summary(labels, value), runbook: `docs/runbooks/${rule.name}.md` },
      since: new Date(sinceMs).toISOString(),
    }));
  }

  /** By how much a counter has grown in a window, as far as it was looked at. */
  #increase(key: string, value: number, nowMs: number, windowMs: number): number {
    const counts = this.#counts.get(key) ?? [];
    this.#counts.set(key, counts);
    counts.push({ atMs: nowMs, value });
    // The newest of before the window stays: growth is counted from it.
    while (counts.length > 1 && (counts[1] as Count).atMs <= nowMs - windowMs) counts.shift();
    let grown = 0;
    // A counter that became smaller began anew with its process.
    for (let at = 1; at < counts.length; at += 1) {
      const [before, after] = [counts[at - 1] as Count, counts[at] as Count];
      grown += after.value >= before.value ? after.value - before.value : after.value;
    }
    return grown;
  }
}

/** The largest value, or the sum of counters, of each group of labels. */
function grouped(rule: AlertRule, values: readonly MetricValue[]): ReadonlyMap<string, MetricValue> {
  const groups = new Map<string, MetricValue>();
  for (const { labels, value } of values) {
    if (!Number.isFinite(value) || rule.where?.(labels) === false) continue;
    const own = Object.fromEntries(rule.by.map((name) => [name, labels[name] ?? '']));
    const key = JSON.stringify([rule.name, ...Object.values(own)]);
    const before = groups.get(key)?.value;
    const both = before === undefined ? value : rule.of === 'gauge' ? Math.max(before, value) : before + value;
    groups.set(key, { labels: own, value: both });
  }
  return groups;
}
