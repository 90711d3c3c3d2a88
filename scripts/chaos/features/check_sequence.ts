import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { isSameValue } from '#feature_store/definitions/values/value_codec';
import { type Candidate, chosen, viewOf } from './definitions.ts';
import { type LoggedEvent, Oracle } from './oracle.ts';
import type { EventSpec, Sequence, Step } from './sequence.ts';
import { rowKey, type SentEvent, Stream, type WrittenRow } from './stream.ts';

const START = Date.UTC(2026, 4, 30, 9, 30);
/** Its definitions never change, and nothing that becomes of the other view may touch it. */
const STEADY = [
  'count 1h',
  'count 24h',
  'sum 7d',
  'distinct 24h',
  'last 3 24h',
  'session_event_count 30m',
  'merchant',
  'pause',
];

const SETTLES_MS = 5_000;

/** Runs a sequence. @returns the first difference from the oracle; undefined when there is none */
export async function checkSequence({ features, steps }: Sequence): Promise<string | undefined> {
  const run = await Run.start(features);
  try {
    for (const [at, step] of steps.entries()) {
      await run.take(step);
      const problem = run.difference() && (await run.settledDifference());
      if (problem !== undefined) return `after step ${at + 1} (${step.kind}): ${problem}`;
    }
    return undefined;
  } finally {
    run.stream.close();
  }
}

class Run {
  readonly stream: Stream;
  readonly #steadyView: FeatureView;
  readonly #steady: Oracle;
  readonly #changing: Oracle;
  #candidates: readonly Candidate[];
  #events: (LoggedEvent & { readonly sent: SentEvent })[] = [];
  /** Rows of the changing view that were written before are of other definitions, or other state. */
  #epoch = 0;
  /** Until then a job that was killed may not have emitted all again. */
  #settledMs = Number.NEGATIVE_INFINITY;

  private constructor(stream: Stream, candidates: readonly Candidate[], steadyView: FeatureView) {
    this.stream = stream;
    this.#candidates = candidates;
    this.#steadyView = steadyView;
    this.#steady = new Oracle(chosen(STEADY));
    this.#changing = new Oracle(candidates);
  }

  static async start(features: readonly string[]): Promise<Run> {
    const candidates = chosen(features);
    const steady = viewOf('steady', chosen(STEADY));
    return new Run(await Stream.start([steady, viewOf('changing', candidates)], START), candidates, steady);
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'events':
        return this.#send(step.events);
      case 'time':
        return this.stream.passTime(step.ms);
      case 'snapshot':
        await this.stream.snapshot();
        this.#saved();
        return;
      case 'handOver': {
        const only = step.only === undefined ? undefined : this.#candidates.filter(({ id }) => step.only?.includes(id));
        if (only?.length === 0) return;
        this.#nextEpoch();
        this.#saved();
        await this.stream.handOver(this.#view, { kills: step.kills, only: only?.map(({ name }) => name) });
        if (only === undefined) this.#changing.refill();
        else this.#changing.refillOnly(only);
        // What changes without events is computed again a few seconds later.
        return this.stream.passTime(10_000);
      }
      default: {
        if (step.kind === 'restart') this.#saved();
        if (step.features !== undefined) {
          this.#candidates = chosen(step.features);
          this.#nextEpoch();
        }
        this.#changing.restore(this.#candidates, this.stream.nowMs);
        if (step.kind === 'kill') this.#settledMs = this.stream.nowMs + SETTLES_MS;
        return this.stream.restart([this.#steadyView, this.#view], step.kind === 'kill');
      }
    }
  }

  get #view(): FeatureView {
    return viewOf('changing', this.#candidates);
  }

  #nextEpoch(): void {
    this.#epoch += 1;
    this.stream.writer = this.#epoch;
  }

  #saved(): void {
    this.#steady.save();
    this.#changing.save();
  }

  async #send(specs: readonly EventSpec[]): Promise<void> {
    const before = this.#events.length;
    for (const spec of specs) this.#events.push(this.#eventOf(spec));
    const sent = this.#events.slice(before);
    for (const event of sent) {
      this.#steady.add(event);
      this.#changing.add(event);
    }
    await this.stream.send(sent.map((event) => event.sent));
  }

  #eventOf({
    account,
    ageMs,
    amount,
    merchant,
    repeats,
    conflicts = false,
  }: EventSpec): LoggedEvent & { sent: SentEvent } {
    const place = this.#events.length;
    const arrivedAtMs = this.stream.nowMs;
    const first = repeats === undefined ? undefined : this.#events.at(-1 - repeats);
    const event: LoggedEvent =
      first === undefined
        ? { id: `e${place}`, account, at: arrivedAtMs - ageMs, amount, merchant, arrivedAtMs, place }
        : { ...first, arrivedAtMs, place, amount: first.amount + (conflicts ? 1 : 0) };
    const body = JSON.stringify({
      ...{ event_id: event.id, user_id: event.account, event_type: 'transaction', account_id: event.account },
      ...{
        timestamp: new Date(event.at).toISOString(),
        amount: event.amount,
        currency: 'EUR',
        merchant_id: event.merchant,
      },
      ...{ merchant_category: 'grocery', country: 'DE', received_at: new Date(arrivedAtMs).toISOString() },
      ...{ source: 'gateway', schema_version: 1 },
    });
    return { ...event, sent: { body, arrivedAtMs } };
  }

  /** The same a few seconds after a job was killed: what it may have emitted without events is emitted again by then, and after ends of sessions once a snapshot holds these. */
  async settledDifference(): Promise<string | undefined> {
    if (this.stream.nowMs > this.#settledMs) return this.difference();
    await this.stream.passTime(SETTLES_MS);
    if (this.difference() === undefined) return undefined;
    await this.stream.snapshot();
    this.#saved();
    // First the ends, then what was to come after them.
    for (const ms of [SETTLES_MS, SETTLES_MS]) await this.stream.passTime(ms);
    return this.difference();
  }

  /** Compares the rows of each entity from its newest event on with what all events give as of their times. */
  difference(): string | undefined {
    return (
      this.#differenceOf(this.#steady, this.#steadyView, chosen(STEADY), () => true) ??
      this.#differenceOf(this.#changing, this.#view, this.#candidates, ({ writtenBy }) => writtenBy === this.#epoch)
    );
  }

  #differenceOf(
    oracle: Oracle,
    view: FeatureView,
    candidates: readonly Candidate[],
    isComparable: (row: WrittenRow) => boolean,
  ): string | undefined {
    for (const account of oracle.accounts) {
      const key = rowKey(view.view, entityKeyFromId(view, account));
      const row = this.stream.online.get(key);
      const newest = oracle.newestAt(account) as number;
      if (row === undefined) return `${viewId(view)} has no row of ${account}`;
      if (row.eventTime < newest)
        return `the row of ${account} is of ${iso(row.eventTime)}, its newest event of ${iso(newest)}`;
      for (const one of this.stream.offline.get(key)?.values() ?? []) {
        if (one.eventTime < newest || !isComparable(one)) continue;
        const problem = rowDiffers(one, account, oracle, candidates);
        if (problem !== undefined) return `${problem} in ${view.view}, ${one === row ? 'online' : 'in history'}`;
      }
    }
    return undefined;
  }
}

function rowDiffers(
  { values, eventTime }: WrittenRow,
  account: string,
  oracle: Oracle,
  candidates: readonly Candidate[],
): string | undefined {
  for (const candidate of candidates) {
    const problem = differs(values[candidate.name], oracle.expected(account, candidate, eventTime));
    if (problem !== undefined) return `${candidate.id} of ${account} as of ${iso(eventTime)}: ${problem}`;
  }
  return undefined;
}

const iso = (ms: number): string => new Date(ms).toISOString();

function differs(got: unknown, expected: ReturnType<Oracle['expected']>): string | undefined {
  if (expected === undefined) return undefined;
  if ('least' in expected) {
    const isWithin = typeof got === 'number' && got >= expected.least && got <= expected.most;
    return isWithin ? undefined : `${got}, where ${expected.least} to ${expected.most} was expected`;
  }
  const { value } = expected;
  const isSame =
    typeof got === 'number' && typeof value === 'number'
      ? Math.abs(got - value) <= 1e-6 * Math.max(1, Math.abs(value))
      : isSameValue(got as FeatureValue, value as FeatureValue);
  return isSame ? undefined : `${JSON.stringify(got)}, where ${JSON.stringify(value)} was expected`;
}
