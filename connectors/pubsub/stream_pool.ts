import type { Message, Subscription } from '@google-cloud/pubsub';
import type { Logger } from '#monitoring/log';

export interface StreamPoolParts {
  readonly openStream: () => Subscription;
  readonly mostStreams: number;
  /** Flow control of one stream. */
  readonly messagesOfStream: number;
  readonly log: Logger;
  readonly onMessage: (message: Message, stream: PulledStream) => void;
  readonly onError: (error: unknown) => void;
}

/** One streaming pull. */
export interface PulledStream {
  readonly subscription: Subscription;
  /** Messages that are held and not acknowledged. */
  held: number;
}

const LOOK_EVERY_MS = 1_000;
/** A message that waited so long to be delivered says that more wait. */
const BEHIND_MS = 2_000;
/** After so long without a message there is nothing more. */
const QUIET_MS = 2_000;
const NEARLY_FULL = 0.8;

/**
 * The streams by which a reader pulls: one while it keeps up; one more a second while messages come late or the open streams are nearly full;
 * and fewer again when nothing comes. A stream is closed only when it holds nothing: closing gives back what it holds.
 */
export class StreamPool {
  readonly #parts: StreamPoolParts;
  readonly #streams: PulledStream[] = [];
  readonly #timer: NodeJS.Timeout;
  #latestMs = 0;
  #lastMessageMs = Date.now();

  constructor(parts: StreamPoolParts) {
    this.#parts = parts;
    this.#open();
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  get size(): number {
    return this.#streams.length;
  }

  #open(): void {
    const { openStream, onMessage, onError } = this.#parts;
    const stream: PulledStream = { subscription: openStream(), held: 0 };
    stream.subscription.on('message', (message: Message) => {
      this.#lastMessageMs = Date.now();
      this.#latestMs = Math.max(this.#latestMs, this.#lastMessageMs - message.publishTime.getTime());
      onMessage(message, stream);
    });
    stream.subscription.on('error', onError);
    this.#streams.push(stream);
  }

  #look(): void {
    const { mostStreams, messagesOfStream, log } = this.#parts;
    const before = this.#streams.length;
    const held = this.#streams.reduce((sum, stream) => sum + stream.held, 0);
    const isFull = held >= NEARLY_FULL * messagesOfStream * before;
    const isBehind = this.#latestMs > BEHIND_MS || isFull;
    const isQuiet = Date.now() - this.#lastMessageMs > QUIET_MS;
    this.#latestMs = 0;
    if (isBehind && before < mostStreams) this.#open();
    else if (isQuiet && before > 1) this.#closeIdle();
    if (this.#streams.length !== before) log.info({ streams: this.#streams.length, before }, 'pubsub.streams_changed');
  }

  #closeIdle(): void {
    const at = this.#streams.findLastIndex((stream) => stream.held === 0);
    if (at < 0) return;
    const [idle] = this.#streams.splice(at, 1);
    idle?.subscription.close().catch((error: unknown) => this.#parts.onError(error));
  }

  /** The client gives back what is held, after its stream: to be delivered to the next reader at once. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#streams.map(({ subscription }) => subscription.close()));
  }
}
