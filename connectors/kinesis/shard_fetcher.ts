import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ChildShard,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type GetShardIteratorCommandInput,
  type KinesisClient,
  type _Record as KinesisRecord,
  type StartingPosition,
  SubscribeToShardCommand,
} from '@aws-sdk/client-kinesis';

/** Where reading of a shard begins. */
export type ShardStart =
  | { readonly kind: 'earliest' }
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly timestampMs: number }
  | { readonly kind: 'after' | 'at'; readonly sequenceNumber: string };

export interface FetchedRecords {
  readonly records: readonly KinesisRecord[];
  /** Undefined when the shard was not asked. */
  readonly millisBehindLatest: number | undefined;
  /** The shard has ended with these records; its children. */
  readonly children: readonly ChildShard[] | undefined;
}

/** Records of one shard, in order. */
export interface ShardFetcher {
  /** What there is now; waits for up to `maxWaitMs`. Empty when that is nothing. */
  fetch(maxWaitMs: number, signal: AbortSignal): Promise<FetchedRecords>;
  close(): Promise<void>;
}

const NOTHING: FetchedRecords = { records: [], millisBehindLatest: undefined, children: undefined };
/** The most that one GetRecords gives. */
const READ_LIMIT = 10_000;
const LONGEST_BACKOFF_MS = 5_000;
const TAKE_OVER_EVERY_MS = 500;

/** Shared reads: GetRecords, no more often than the limit for all readers of a shard allows. */
export class PollingFetcher implements ShardFetcher {
  readonly #client: KinesisClient;
  readonly #shard: { readonly StreamName: string; readonly ShardId: string };
  readonly #intervalMs: number;
  #from: ShardStart;
  #iterator: string | undefined;
  #nextReadMs = 0;
  #throttled = 0;

  constructor(
    client: KinesisClient,
    shard: { readonly StreamName: string; readonly ShardId: string },
    from: ShardStart,
    intervalMs: number,
  ) {
    this.#client = client;
    this.#shard = shard;
    this.#from = from;
    this.#intervalMs = intervalMs;
  }

  async fetch(maxWaitMs: number, signal: AbortSignal): Promise<FetchedRecords> {
    const endMs = performance.now() + maxWaitMs;
    for (;;) {
      const waitMs = this.#nextReadMs - performance.now();
      if (waitMs > 0) {
        if (performance.now() + waitMs > endMs && maxWaitMs < waitMs) {
          await pause(Math.max(0, endMs - performance.now()), signal);
          return NOTHING;
        }
        await pause(waitMs, signal);
      }
      if (signal.aborted) return NOTHING;
      const fetched = await this.#read();
      if (fetched.records.length > 0 || fetched.children !== undefined || performance.now() >= endMs) return fetched;
    }
  }

  async #read(): Promise<FetchedRecords> {
    try {
      this.#iterator ??= await this.#open();
      this.#nextReadMs = performance.now() + this.#intervalMs;
      const answer = await this.#client.send(
        new GetRecordsCommand({ ShardIterator: this.#iterator, Limit: READ_LIMIT }),
      );
      this.#throttled = 0;
      this.#iterator = answer.NextShardIterator;
      const records = answer.Records ?? [];
      const last = records[records.length - 1]?.SequenceNumber;
      if (last !== undefined) this.#from = { kind: 'after', sequenceNumber: last };
      const isOver = answer.NextShardIterator === undefined;
      return {
        records,
        millisBehindLatest: answer.MillisBehindLatest ?? 0,
        children: isOver ? (answer.ChildShards ?? []) : undefined,
      };
    } catch (error) {
      const { name } = error as Error;
      if (name === 'ExpiredIteratorException') {
        this.#iterator = undefined;
        return NOTHING;
      }
      if (name === 'ProvisionedThroughputExceededException' || name === 'LimitExceededException') {
        this.#throttled += 1;
        const backoffMs = Math.min(this.#intervalMs * 2 ** this.#throttled, LONGEST_BACKOFF_MS);
        this.#nextReadMs = performance.now() + backoffMs * (0.5 + Math.random() / 2);
        return NOTHING;
      }
      throw error;
    }
  }

  async #open(): Promise<string | undefined> {
    const { ShardIterator } = await this.#client.send(
      new GetShardIteratorCommand({ ...this.#shard, ...iteratorOf(this.#from) }),
    );
    return ShardIterator;
  }

  async close(): Promise<void> {}
}

function iteratorOf(from: ShardStart): Omit<GetShardIteratorCommandInput, 'ShardId'> {
  const { Type, ...rest } = startingPosition(from);
  const { SequenceNumber, Timestamp } = rest;
  return {
    ShardIteratorType: Type,
    ...(SequenceNumber === undefined ? {} : { StartingSequenceNumber: SequenceNumber }),
    ...(Timestamp === undefined ? {} : { Timestamp }),
  };
}

function startingPosition(from: ShardStart): StartingPosition {
  switch (from.kind) {
    case 'earliest':
      return { Type: 'TRIM_HORIZON' };
    case 'latest':
      return { Type: 'LATEST' };
    case 'time':
      return { Type: 'AT_TIMESTAMP', Timestamp: new Date(from.timestampMs) };
    case 'after':
      return { Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: from.sequenceNumber };
    case 'at':
      return { Type: 'AT_SEQUENCE_NUMBER', SequenceNumber: from.sequenceNumber };
  }
}

/** Enhanced fan-out: the shard is pushed to us, for five minutes a subscription; then we subscribe again where it ended. */
export class FanOutFetcher implements ShardFetcher {
  readonly #client: KinesisClient;
  readonly #consumer: { readonly ConsumerARN: string; readonly ShardId: string };
  #from: ShardStart;
  #events: AsyncIterator<FanOutEvent> | undefined;
  #next: Promise<IteratorResult<FanOutEvent>> | undefined;
  #connection = new AbortController();

  constructor(
    client: KinesisClient,
    consumer: { readonly ConsumerARN: string; readonly ShardId: string },
    from: ShardStart,
  ) {
    this.#client = client;
    this.#consumer = consumer;
    this.#from = from;
  }

  async fetch(maxWaitMs: number, signal: AbortSignal): Promise<FetchedRecords> {
    if (this.#events === undefined) {
      const events = await this.#subscribe();
      if (events === undefined) {
        await pause(Math.min(maxWaitMs, TAKE_OVER_EVERY_MS), signal);
        return NOTHING;
      }
      this.#events = events;
    }
    // An event that did not come in time is the next call's.
    this.#next ??= this.#events.next();
    const late = pause(maxWaitMs, signal).then(() => undefined);
    const result = await Promise.race([this.#next, late]).catch((error: unknown) => {
      this.#forget();
      throw error;
    });
    if (result === undefined) return NOTHING;
    this.#next = undefined;
    if (result.done === true) {
      this.#forget();
      return NOTHING;
    }
    const event = result.value.SubscribeToShardEvent;
    if (event === undefined) return NOTHING;
    const isOver = event.ChildShards !== undefined && event.ChildShards.length > 0;
    if (event.ContinuationSequenceNumber !== undefined) {
      this.#from = { kind: 'after', sequenceNumber: event.ContinuationSequenceNumber };
    }
    return {
      records: event.Records ?? [],
      millisBehindLatest: event.MillisBehindLatest ?? 0,
      children: isOver ? event.ChildShards : undefined,
    };
  }

  /** Undefined while the consumer's last subscription to the shard is not over: Kinesis takes over after five seconds. */
  async #subscribe(): Promise<AsyncIterator<FanOutEvent> | undefined> {
    this.#connection = new AbortController();
    try {
      const { EventStream } = await this.#client.send(
        new SubscribeToShardCommand({ ...this.#consumer, StartingPosition: startingPosition(this.#from) }),
        { abortSignal: this.#connection.signal },
      );
      if (EventStream === undefined) throw new Error('Kinesis opened no event stream for the subscription');
      return (EventStream as AsyncIterable<FanOutEvent>)[Symbol.asyncIterator]();
    } catch (error) {
      if ((error as Error).name === 'ResourceInUseException') return undefined;
      throw error;
    }
  }

  #forget(): void {
    this.#events = undefined;
    this.#next = undefined;
  }

  async close(): Promise<void> {
    this.#next?.catch(() => {});
    this.#forget();
    this.#connection.abort();
  }
}

interface FanOutEvent {
  readonly SubscribeToShardEvent?: {
    readonly Records?: readonly KinesisRecord[];
    readonly ContinuationSequenceNumber?: string;
    readonly MillisBehindLatest?: number;
    readonly ChildShards?: readonly ChildShard[];
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
