import type { Broker } from '../connector.ts';
import { type FiledLetter, fileOf, type LetterFilter, passes } from '../dead_letter.ts';
import type { FileSystemOf } from '../files/file_systems.ts';
import { recordsOfTopic } from '../records/topic_records.ts';
import { type ReplayCounts, type ReplayOptions, replayLetters } from './dead_letter_replay.ts';

export {
  ATTEMPTS_HEADER,
  type DeadLetter,
  earlierAttempts,
  type FiledLetter,
  knownBefore,
  type LetterFilter,
  type LetterOrigin,
  originOf,
  payloadOf,
} from '../dead_letter.ts';
export type { ReplayCounts, ReplayOptions, SinkReplay } from './dead_letter_replay.ts';

export interface LetterSummary {
  readonly total: number;
  /** By stage ('' for records that are no letters) and reason, the largest first. */
  readonly groups: readonly LetterGroup[];
  /** At most as many as were requested, in their order. */
  readonly newest: readonly FiledLetter[];
}

export interface LetterGroup {
  readonly stage: string;
  /** Without what differs from letter to letter: numbers and times. */
  readonly reason: string;
  readonly count: number;
  /** ISO 8601. */
  readonly newest: string;
}

/** Consumer group whose progress says which letters were replayed. */
export const DEAD_LETTER_REPLAY_GROUP = 'headwater-dlq-replay';

/** The dead-letter topic, for people who look after it. */
export class DeadLetterQueue {
  readonly #broker: Broker;
  readonly #topic: string;
  readonly #group: string;
  readonly #fileSystems: FileSystemOf | undefined;

  /** @param fileSystems - for payloads in files; undefined: those cannot be replayed */
  constructor(
    broker: Broker,
    topic: string,
    {
      group = DEAD_LETTER_REPLAY_GROUP,
      fileSystems,
    }: { readonly group?: string; readonly fileSystems?: FileSystemOf } = {},
  ) {
    this.#group = group;
    this.#broker = broker;
    this.#topic = topic;
    this.#fileSystems = fileSystems;
  }

  /** Letters from the earliest on that pass the filter. */
  async *list(
    filter: LetterFilter = {},
    signal: AbortSignal = new AbortController().signal,
  ): AsyncGenerator<FiledLetter> {
    for await (const records of recordsOfTopic(this.#broker, this.#topic, undefined, signal)) {
      for (const record of records) {
        const filed = fileOf(record);
        if (passes(filed.letter, filter)) yield filed;
      }
    }
  }

  /** How many letters pass a filter, by what is wrong with them, and the newest `limit` of them. */
  async summarise(filter: LetterFilter, limit: number): Promise<LetterSummary> {
    const groups = new Map<string, { stage: string; reason: string; count: number; newest: string }>();
    const newest: FiledLetter[] = [];
    let total = 0;
    for await (const filed of this.list(filter)) {
      total += 1;
      newest.push(filed);
      if (newest.length > limit) newest.shift();
      const stage = filed.letter?.stage ?? '';
      const reason = generalised(filed.letter?.reason ?? '');
      const group = groups.get(`${stage} ${reason}`) ?? { stage, reason, count: 0, newest: '' };
      group.count += 1;
      group.newest = filed.letter?.timestamp ?? '';
      groups.set(`${stage} ${reason}`, group);
    }
    return { total, groups: [...groups.values()].sort((a, b) => b.count - a.count), newest };
  }

  /**
   * Sends letters where their records came from, in their order, and those without an origin to `toTopic`. A replay ends at what lay there when
   * it began. Without a filter each letter is replayed once: progress is kept for a group of the broker. With one, all that pass are sent;
   * readers drop event ids that they know.
   */
  replay(toTopic: string, options: ReplayOptions = {}): Promise<ReplayCounts> {
    return replayLetters(
      { broker: this.#broker, topic: this.#topic, group: this.#group, fileSystems: this.#fileSystems },
      toTopic,
      options,
    );
  }
}

/** Where a letter lies, as commands and the console name it. */
export const placeOf = ({ partition, offset }: FiledLetter): string => `${partition}/${offset}`;

/** Returns a reason without what differs from letter to letter, so that like ones are counted together. */
export const generalised = (reason: string): string =>
  reason.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '…').replace(/\d+/g, 'N');
