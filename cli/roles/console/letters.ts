import type { Broker } from '#connectors/connector';
import { ATTEMPTS_HEADER, originHeaders } from '#connectors/dead_letter';
import { type DeadLetterQueue, type FiledLetter, placeOf } from '#connectors/dead_letters/dead_letters';
import type { Letter } from '#serving/console/answers';
import type { DeadLetterStatus } from '#serving/console/sources';
import { LetterLockedError, LetterNotFoundError } from './errors.ts';

const SHOWN_PAYLOAD = 2_000;
/** Stages whose payloads are what was to be written, and no event. */
const OF_SINKS = /^(sink|prediction_log|serving)\./;

/** Dead letters one by one: to be read, mended and sent again. */
export class Letters {
  readonly #queue: DeadLetterQueue;
  readonly #broker: Broker;
  readonly #rawEventsTopic: string;

  constructor(queue: DeadLetterQueue, broker: Broker, rawEventsTopic: string) {
    this.#queue = queue;
    this.#broker = broker;
    this.#rawEventsTopic = rawEventsTopic;
  }

  /** @throws {@link LetterNotFoundError} */
  async letter(where: string): Promise<Letter> {
    const filed = await this.#find(where);
    const { letter } = filed;
    return {
      ...letterStatus(filed),
      payload: letter?.payload ?? filed.raw,
      origin:
        letter?.origin === undefined
          ? undefined
          : `${letter.origin.topic}/${letter.origin.partition}/${letter.origin.offset}`,
      locked: lockOf(filed),
    };
  }

  /** Sends a letter's record again with another payload, to where the record came from. @throws {@link LetterLockedError} */
  async resend(where: string, payload: string): Promise<{ readonly topic: string }> {
    const filed = await this.#find(where);
    const locked = lockOf(filed);
    if (locked !== undefined) throw new LetterLockedError(where, locked);
    const { origin, attempt = 1 } = filed.letter ?? {};
    const topic = origin?.topic ?? this.#rawEventsTopic;
    const { key, keyEncoding } = origin ?? {};
    await this.#broker.producer.send(topic, [
      {
        ...(keyEncoding === undefined ? { key } : { keyBytes: Buffer.from(key ?? '', keyEncoding) }),
        value: payload,
        ...(this.#broker.hasHeaders
          ? {
              headerList: [
                ...(origin === undefined ? [] : originHeaders(origin)),
                [ATTEMPTS_HEADER, Buffer.from(String(attempt))] as const,
              ],
            }
          : {}),
      },
    ]);
    return { topic };
  }

  async #find(where: string): Promise<FiledLetter> {
    for await (const filed of this.#queue.list()) if (placeOf(filed) === where) return filed;
    throw new LetterNotFoundError(where);
  }
}

function lockOf({ letter }: FiledLetter): string | undefined {
  if (letter === undefined) return 'it is no dead letter';
  if (letter.isBatch === true) return 'its payload is a whole batch of the broker';
  if (letter.encoding !== undefined) return 'its payload is no text';
  if (letter.isCut === true) return 'only the beginning of its payload was kept here';
  return OF_SINKS.test(letter.stage) ? 'it is of a store that refused it, and no event: replay it as it is' : undefined;
}

export function letterStatus(filed: FiledLetter): DeadLetterStatus {
  const { letter, raw } = filed;
  return {
    where: placeOf(filed),
    time: letter?.timestamp ?? '',
    stage: letter?.stage ?? '',
    reason: letter?.reason ?? 'this record is no dead letter',
    attempt: letter?.attempt ?? 0,
    payload: (letter?.payload ?? raw).slice(0, SHOWN_PAYLOAD),
    canBeReplayed: letter !== undefined && letter.isCut !== true,
  };
}
