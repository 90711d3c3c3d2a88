import { createHash } from 'node:crypto';
import { messageOf } from '#kernel/errors';
import { storable } from '#kernel/text/unstorable_text';
import type { Logger } from '#monitoring/log';
import { counterOf } from '#monitoring/metrics';
import type { OutgoingRecord, Producer } from '../connector.ts';
import { Delivery, type DeliveryDeps } from '../delivery.ts';
import { pathIn } from '../files/file_system.ts';
import type { FileSystemOf } from '../files/file_systems.ts';
import type { DeadLetter } from './dead_letters.ts';

/** Where letters go that their topic does not take: a folder of this machine or `s3://bucket/prefix`. */
export interface LargeLetters {
  readonly directory: string;
  readonly fileSystems: FileSystemOf;
}

export interface DeadLetterWriterDeps extends DeliveryDeps {
  readonly producer: Producer;
}

export interface DeadLetterWriterSettings {
  readonly topic: string;
  /** Undefined: the topic keeps only the beginning of a letter that is too large. */
  readonly large?: LargeLetters | undefined;
}

/** A reason longer than this is cut: libraries put the value that they do not like into it. */
const REASON_CHARS = 2_000;
/** What the topic keeps of a payload that it does not take whole. */
const KEPT_CHARS = 2_000;
/** A record's key and headers that take more than this are left out of a letter that is cut. */
const KEPT_ORIGIN_CHARS = 100_000;

/**
 * Writes dead letters to their topic. A letter that the topic refuses is kept whole in a file, and the topic gets its beginning with a reference
 * (`payloadAt`); what cannot be kept even so is logged and counted. Outages are waited out. Writing never fails for what is in a letter.
 */
export class DeadLetterWriter {
  readonly #producer: Producer;
  readonly #settings: DeadLetterWriterSettings;
  readonly #delivery: Delivery;
  readonly #log: Logger;
  readonly #large;
  readonly #lost;

  constructor(deps: DeadLetterWriterDeps, settings: DeadLetterWriterSettings) {
    this.#producer = deps.producer;
    this.#settings = settings;
    this.#delivery = new Delivery(deps, { target: 'dead letters' });
    this.#log = deps.log.child({ component: 'connectors.dead_letters' });
    this.#large = counterOf(deps.metrics, {
      name: 'dead_letters_too_large_total',
      help: 'Dead letters that their topic did not take whole',
    });
    this.#lost = counterOf(deps.metrics, {
      name: 'dead_letters_lost_total',
      help: 'Dead letters that could not be kept anywhere; the log has their beginning',
    });
  }

  /**
   * @param signal - aborted: an outage is not waited for any more
   * @throws {@link ConnectionError} after ten minutes without the topic
   */
  async write(letters: readonly DeadLetter[], signal?: AbortSignal): Promise<void> {
    const usable = letters.map((letter) => ({ ...letter, reason: storable(letter.reason.slice(0, REASON_CHARS)) }));
    const refused = await this.#send(usable, signal);
    for (const { value: letter, reason } of refused) {
      this.#large.inc();
      const [lost] = await this.#send([await this.shortened(letter)], signal);
      if (lost === undefined) continue;
      this.#lost.inc();
      const { stage, payload } = letter;
      this.#log.error({ stage, reason, refusedFor: letter.reason, payload: payload.slice(0, 200) }, 'dead_letter.lost');
    }
  }

  #send(letters: readonly DeadLetter[], signal: AbortSignal | undefined) {
    const { topic } = this.#settings;
    const recordOf = (letter: DeadLetter): OutgoingRecord => ({ value: JSON.stringify(letter) });
    return this.#delivery.writeAll(letters, (part) => this.#producer.send(topic, part.map(recordOf)), signal);
  }

  /** Keeps the payload of a letter in a file, where there is a place for those, and returns the letter that goes to the topic instead. Never fails. */
  async shortened(letter: DeadLetter): Promise<DeadLetter> {
    const short = { ...withShortOrigin(letter), payload: letter.payload.slice(0, KEPT_CHARS), isCut: true };
    const { large } = this.#settings;
    if (large === undefined) return short;
    const bytes = Buffer.from(letter.payload, 'utf8');
    // Named by what it holds: a bundle that is repeated writes the same file.
    const name = `${createHash('sha256').update(bytes).digest('hex')}.txt`;
    const path = pathIn(large.directory, `${letter.timestamp.slice(0, 10)}/${name}`);
    try {
      return { ...short, payloadAt: await large.fileSystems(path).write(path, bytes) };
    } catch (error) {
      this.#log.error({ error, path }, 'dead_letter.file_failed');
      return { ...short, reason: `${short.reason} (its payload could not be kept at ${path}: ${messageOf(error)})` };
    }
  }
}

/** The letter without the key and headers of its record, where those are large; its reason names what is missing. */
function withShortOrigin(letter: DeadLetter): DeadLetter {
  const { origin, reason } = letter;
  if (origin === undefined || JSON.stringify(origin).length <= KEPT_ORIGIN_CHARS) return letter;
  const { topic, partition, offset } = origin;
  return {
    ...letter,
    origin: { topic, partition, offset },
    reason: `${reason} (the key and headers of ${topic}[${partition}]@${offset} are too large to keep)`,
  };
}
