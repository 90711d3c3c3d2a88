import type { EventTime } from '#kernel/time';
import type { ElementCodec, ElementWriter } from '#pipelines/engine/element_codec';
import { ByteReader, ByteWriter } from './coders/bytes.ts';
import type { WindowedValueCoder } from './coders/standard_coders.ts';

/** Elements as Beam's windowed values, one after another. The coder is made when it is first needed. */
export function elementCodec(name: string, makeCoder: () => WindowedValueCoder<unknown>): ElementCodec {
  let made: WindowedValueCoder<unknown> | undefined;
  const coder = (): WindowedValueCoder<unknown> => {
    made ??= makeCoder();
    return made;
  };
  return {
    name,
    createWriter(): ElementWriter {
      const out = new ByteWriter(4_096);
      return {
        get length() {
          return out.length;
        },
        write: (value, timestamp, window, pane) => coder().encodeOne(value, timestamp, window, pane, out),
        take() {
          const bytes = out.finish();
          out.reset();
          return bytes;
        },
      };
    },
    read(bytes, receiver) {
      const from = new ByteReader(bytes);
      while (!from.isAtEnd) {
        const { value, timestamp, windows, pane } = coder().decode(from, true);
        for (const window of windows) receiver.receive(value, timestamp as EventTime, window, pane);
      }
    },
  };
}
