import { setTimeout as sleep } from 'node:timers/promises';
import { revive, ShardFailedError } from './failures.ts';
import type { FromShard, ShardChannel, ToShard } from './messages.ts';

type Kind = Exclude<FromShard['kind'], 'failed'>;
type Answer<K extends Kind> = Extract<FromShard, { readonly kind: K }>;

interface Waiting {
  resolve(answer: never): void;
  reject(error: Error): void;
}

/** How long a shard may take to close before its thread is ended. */
const CLOSE_WITHIN_MS = 5_000;

/** A shard as the job's thread sees it: one question of a kind at a time. */
export class ShardHandle {
  readonly #channel: ShardChannel;
  readonly #waiting = new Map<Kind, Waiting>();
  #failure: Error | undefined;
  #isClosing = false;
  #isLost = false;

  constructor(index: number, channel: ShardChannel) {
    this.#channel = channel;
    channel.onMessage((message) => {
      if (message.kind === 'failed') {
        this.#fail(revive(message.failure));
        return;
      }
      const waiting = this.#waiting.get(message.kind);
      this.#waiting.delete(message.kind);
      waiting?.resolve(message as never);
    });
    channel.onLost((reason) => {
      this.#isLost = true;
      if (!this.#isClosing) this.#fail(new ShardFailedError(`worker thread ${index} ended by itself: ${reason}`));
    });
  }

  /** @throws what the shard failed with, now or before */
  ask<K extends Kind>(kind: K, message: ToShard, transfer: readonly ArrayBuffer[] = []): Promise<Answer<K>> {
    return new Promise<Answer<K>>((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting.set(kind, { resolve, reject });
      this.#channel.post(message, transfer);
    });
  }

  tell(message: ToShard): void {
    if (this.#failure === undefined) this.#channel.post(message, []);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }

  /** Lets the shard put its DoFns and its snapshot away, also one that has failed, then ends it. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (!this.#isLost) {
      const closed = new Promise<void>((resolve) => {
        this.#waiting.set('closed', { resolve: () => resolve(), reject: () => resolve() });
        this.#channel.post({ kind: 'close' }, []);
      });
      await Promise.race([closed, sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
    }
    await this.#channel.close();
  }
}
