import { createHash } from 'node:crypto';
import { AddTagsToStreamCommand, type KinesisClient, ListTagsForStreamCommand } from '@aws-sdk/client-kinesis';
import type { Position } from '#connectors/connector';
import type { Logger } from '#monitoring/log';

const PREFIX = 'headwater/';
/** Kinesis takes five writes of tags a second for a whole account. */
const WRITE_EVERY_MS = 10_000;
const TAGS_AT_ONCE = 10;
/** A tag's name has up to 128. */
const MOST_GROUP_CHARACTERS = 90;

interface Waiting {
  readonly topic: string;
  /** Values by name. */
  readonly tags: Map<string, string>;
  timer: NodeJS.Timeout | undefined;
  writtenMs: number;
  writing: Promise<void>;
}

/**
 * Keeps a group's progress in tags of the stream: Kinesis itself has no place for it. Written at most every ten seconds, and at the end. Only the
 * shards of today fit: a stream has fifty tags. A pipeline does not depend on it; its positions are in its snapshots.
 */
export class TagProgress {
  readonly #client: KinesisClient;
  readonly #log: Logger;
  readonly #topics = new Map<string, Waiting>();

  constructor(client: KinesisClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): void {
    const waiting = this.#waitingOf(topic);
    for (const [partition, position] of positions) {
      waiting.tags.set(tagOf(group, partition), tagValue(partition, position));
    }
    const dueMs = waiting.writtenMs + WRITE_EVERY_MS - Date.now();
    waiting.timer ??= setTimeout(() => void this.#write(waiting), Math.max(0, dueMs)).unref();
  }

  #waitingOf(topic: string): Waiting {
    let waiting = this.#topics.get(topic);
    if (waiting === undefined) {
      waiting = { topic, tags: new Map(), timer: undefined, writtenMs: 0, writing: Promise.resolve() };
      this.#topics.set(topic, waiting);
    }
    return waiting;
  }

  async committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>> {
    const tags = new Map<string, string>();
    for (let from: string | undefined; ; ) {
      const answer = await this.#client.send(
        new ListTagsForStreamCommand({
          StreamName: topic,
          ...(from === undefined ? {} : { ExclusiveStartTagKey: from }),
        }),
      );
      for (const { Key = '', Value = '' } of answer.Tags ?? []) tags.set(Key, Value);
      from = answer.Tags?.at(-1)?.Key;
      if (answer.HasMoreTags !== true || from === undefined) break;
    }
    // What is not written yet is newer.
    for (const [key, value] of this.#topics.get(topic)?.tags ?? []) tags.set(key, value);
    const own = prefixOf(group);
    return new Map([...tags].filter(([key]) => key.startsWith(own)).flatMap(([, value]) => parseValue(value)));
  }

  #write(waiting: Waiting): Promise<void> {
    clearTimeout(waiting.timer);
    waiting.timer = undefined;
    waiting.writing = waiting.writing.then(async () => {
      waiting.writtenMs = Date.now();
      const tags = [...waiting.tags];
      for (let at = 0; at < tags.length; at += TAGS_AT_ONCE) {
        const part = tags.slice(at, at + TAGS_AT_ONCE);
        try {
          await this.#client.send(
            new AddTagsToStreamCommand({ StreamName: waiting.topic, Tags: Object.fromEntries(part) }),
          );
        } catch (error) {
          this.#log.warn({ error, stream: waiting.topic }, 'kinesis.progress_not_kept');
          return;
        }
        for (const [key, value] of part) if (waiting.tags.get(key) === value) waiting.tags.delete(key);
      }
    });
    return waiting.writing;
  }

  /** Writes what waits. */
  async stop(): Promise<void> {
    for (const waiting of this.#topics.values()) await this.#write(waiting);
  }
}

/** The partition's name may be longer than a tag's: it is in the value. */
const prefixOf = (group: string): string =>
  `${PREFIX}${group.replace(/[^\w.-]/g, '_').slice(0, MOST_GROUP_CHARACTERS)}/`;
const tagOf = (group: string, partition: string): string =>
  `${prefixOf(group)}${createHash('sha256').update(partition).digest('hex').slice(0, 16)}`;

/** A part of a shard is named with a character that a tag cannot have. */
const tagValue = (partition: string, position: Position): string => `${partition.replace('#', '@')}=${position}`;

function parseValue(value: string): [string, Position][] {
  const at = value.indexOf('=');
  return at < 0 ? [] : [[value.slice(0, at).replace('@', '#'), value.slice(at + 1)]];
}
