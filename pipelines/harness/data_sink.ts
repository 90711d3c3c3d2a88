import type { EventTime } from '#kernel/time';
import type { PaneInfo } from '#pipelines/engine/dofn';
import type { Receiver } from '#pipelines/engine/receiver';
import type { Window } from '#pipelines/engine/windowing/window';
import { ByteWriter } from '#pipelines/model/coders/bytes';
import type { WindowedValueCoder } from '#pipelines/model/coders/standard_coders';
import type { DataStream } from './data_stream.ts';

/** A message is sent when it has grown to this. */
const MESSAGE_BYTES = 256 * 1_024;

/** Encodes what leaves a stage, and sends it in large messages. */
export class DataSink implements Receiver {
  readonly #transformId: string;
  readonly #coder: WindowedValueCoder<unknown>;
  readonly #stream: () => DataStream;
  readonly #out = new ByteWriter(4_096);
  #instructionId = '';

  constructor(transformId: string, coder: WindowedValueCoder<unknown>, stream: () => DataStream) {
    this.#transformId = transformId;
    this.#coder = coder;
    this.#stream = stream;
  }

  begin(instructionId: string): void {
    this.#instructionId = instructionId;
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    this.#coder.encodeOne(value, timestamp, window, pane, this.#out);
  }

  /** Sends what has become large; resolves when the runner can take more. */
  flushLarge(): Promise<void> | undefined {
    return this.#out.length < MESSAGE_BYTES ? undefined : this.#send(false);
  }

  async finish(): Promise<void> {
    if (this.#out.length > 0) await this.#send(false);
    await this.#send(true);
  }

  #send(isLast: boolean): Promise<void> | undefined {
    const data = isLast ? new Uint8Array(0) : this.#out.finish();
    if (!isLast) this.#out.reset();
    return this.#stream().send({
      data: [{ instructionId: this.#instructionId, transformId: this.#transformId, data, isLast }],
      timers: [],
    });
  }

  reset(): void {
    this.#out.reset();
  }
}
