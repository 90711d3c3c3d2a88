import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Broker,
  checkedRecords,
  defineConnector,
  type Header,
  headersOf,
  keyBytesOf,
  type LogRecord,
  lastHeaders,
  OffsetOutOfRangeError,
  type OutgoingRecord,
  type Position,
  type Producer,
  type ReadFrom,
  type SourcePartition,
  type TopicSpec,
  UnknownTopicError,
} from 'headwater/connectors';
import { stableHash32 } from 'headwater/features';
import { z } from 'zod';

/** A record as its line has it. */
interface Line {
  /** Base64; null: no key. */
  readonly key: string | null;
  /** Base64; null: a tombstone. */
  readonly value: string | null;
  readonly headers: readonly (readonly [string, string | null])[];
  readonly at: number;
}

const BROKER = 'the lines broker';
const LOOK_EVERY_MS = 20;
const base64 = (bytes: Buffer | undefined | null): string | null => bytes?.toString('base64') ?? null;

/** Topics as folders, partitions as files with a line a record, offsets as numbers of lines. */
class LinesBroker implements Broker {
  readonly kind = 'lines';
  readonly name = BROKER;
  readonly hasHeaders = true;
  readonly addsPartitions = false;
  readonly producer: Producer = { send: (topic, records) => this.#send(topic, records) };
  readonly #directory: string;
  /** One write at a time. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async start(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
  }

  async drain(): Promise<void> {
    await this.#writing;
  }

  async stop(): Promise<void> {
    await this.#writing.catch(() => {});
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const { name, partitions } of topics) {
      if (existsSync(join(this.#directory, name))) continue;
      await mkdir(join(this.#directory, name), { recursive: true });
      for (let partition = 0; partition < partitions; partition += 1)
        await writeFile(this.#file(name, `${partition}`), '');
    }
  }

  async listTopics(): Promise<readonly string[]> {
    return (await readdir(this.#directory, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  }

  async listPartitions(topic: string): Promise<readonly string[]> {
    if (!existsSync(join(this.#directory, topic))) throw new UnknownTopicError(BROKER, topic);
    const files = await readdir(join(this.#directory, topic));
    return files.map((file) => file.replace(/\.jsonl$/, '')).sort((a, b) => Number(a) - Number(b));
  }

  async openPartition(topic: string, partition: string, from: ReadFrom): Promise<SourcePartition> {
    const partitions = await this.listPartitions(topic);
    if (!partitions.includes(partition)) throw new UnknownTopicError(BROKER, topic, partition);
    const file = this.#file(topic, partition);
    const held = await readLines(file);
    let next: number;
    if ('resumeAfter' in from) {
      next = Number(from.resumeAfter) + 1;
      if (next > held.length) {
        const range = { earliest: 0n, latest: BigInt(held.length) };
        throw new OffsetOutOfRangeError(topic, partition, BigInt(next), range);
      }
    } else if (from.startAt === 'earliest') next = 0;
    else if (from.startAt === 'latest') next = held.length;
    else {
      const { timestampMs } = from.startAt;
      const found = held.findIndex(({ at }) => at >= timestampMs);
      next = found < 0 ? held.length : found;
    }
    return new LinesReader(file, partition, next, held.length);
  }

  async commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void> {
    const file = this.#groupFile(group, topic);
    const known = await this.committed(group, topic);
    await writeFile(file, JSON.stringify([...new Map([...known, ...positions])]));
  }

  async committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>> {
    const text = await readFile(this.#groupFile(group, topic), 'utf8').catch(() => '[]');
    return new Map(JSON.parse(text) as [string, Position][]);
  }

  #file(topic: string, partition: string): string {
    return join(this.#directory, topic, `${partition}.jsonl`);
  }

  #groupFile(group: string, topic: string): string {
    return join(this.#directory, `${group}@${topic}.json`);
  }

  #send(topic: string, given: readonly OutgoingRecord[]): Promise<void> {
    const sent = this.#writing
      .catch(() => {})
      .then(async () => {
        const partitions = await this.listPartitions(topic);
        const lines = new Map<string, string[]>();
        for (const record of checkedRecords(BROKER, topic, given)) {
          const key = keyBytesOf(record);
          const at = key === undefined ? 0 : stableHash32(key.toString('base64')) % partitions.length;
          const partition = partitions[at] as string;
          const line: Line = {
            key: base64(key),
            value: record.value === null ? null : Buffer.from(record.value).toString('base64'),
            headers: headersOf(record).map(([name, value]) => [name, base64(value)]),
            at: record.timestampMs ?? Date.now(),
          };
          lines.set(partition, [...(lines.get(partition) ?? []), `${JSON.stringify(line)}\n`]);
        }
        for (const [partition, added] of lines) await appendFile(this.#file(topic, partition), added.join(''));
      });
    this.#writing = sent;
    return sent;
  }
}

class LinesReader implements SourcePartition {
  readonly #file: string;
  readonly #partition: string;
  #next: number;
  #end: number;

  constructor(file: string, partition: string, next: number, end: number) {
    this.#file = file;
    this.#partition = partition;
    this.#next = next;
    this.#end = end;
  }

  async poll(options: { maxRecords: number; maxWaitMs: number; signal: AbortSignal }): Promise<readonly LogRecord[]> {
    const giveUpAt = Date.now() + options.maxWaitMs;
    for (;;) {
      const lines = await readLines(this.#file);
      this.#end = lines.length;
      const taken = lines.slice(this.#next, this.#next + options.maxRecords);
      if (taken.length > 0) {
        const first = this.#next;
        this.#next += taken.length;
        return taken.map((line, index) => this.#recordOf(line, first + index));
      }
      if (Date.now() >= giveUpAt || options.signal.aborted) return [];
      await sleep(LOOK_EVERY_MS);
    }
  }

  #recordOf({ key, value, headers, at }: Line, offset: number): LogRecord {
    const keyBytes = key === null ? undefined : Buffer.from(key, 'base64');
    const headerList = headers.map(
      ([name, bytes]): Header => [name, bytes === null ? null : Buffer.from(bytes, 'base64')],
    );
    return {
      key: keyBytes?.toString('utf8'),
      keyBytes,
      value: Buffer.from(value ?? '', 'base64'),
      isTombstone: value === null,
      headers: lastHeaders(headerList),
      headerList,
      timestampMs: at,
      partition: this.#partition,
      offset: BigInt(offset),
    };
  }

  position(): Position {
    return String(this.#next - 1);
  }

  lagRecords(): bigint {
    return BigInt(this.#end - this.#next);
  }

  endOffset(): bigint {
    return BigInt(this.#end);
  }

  async close(): Promise<void> {}
}

async function readLines(file: string): Promise<readonly Line[]> {
  const text = await readFile(file, 'utf8');
  // A line that is being written has no end yet.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

export const lines = defineConnector({
  name: 'lines',
  settings: z.strictObject({ directory: z.string().min(1) }),
  create: (_, { directory }) => new LinesBroker(directory),
});
