import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { Window } from '#pipelines/engine/windowing/window';
import type { AnyCoder, Coder } from './coder.ts';
import { RowCoder } from './row_coder.ts';
import {
  BoolCoder,
  BytesCoder,
  CustomWindowCoder,
  DoubleCoder,
  GlobalWindowCoder,
  IntervalWindowCoder,
  IterableCoder,
  type IterableTail,
  KvCoder,
  LengthPrefixCoder,
  NullableCoder,
  ParamWindowedValueCoder,
  ShardedKeyCoder,
  StringUtf8Coder,
  TimerCoder,
  VarIntCoder,
  WindowedValueCoder,
} from './standard_coders.ts';
import { KeyCoder, ValueCoder } from './value_coder.ts';

type CoderFactory = (
  components: readonly AnyCoder[],
  payload: Uint8Array,
  fetchTail: IterableTail | undefined,
) => unknown;

const first = (components: readonly AnyCoder[]): AnyCoder => components[0] as AnyCoder;
const second = (components: readonly AnyCoder[]): AnyCoder => components[1] as AnyCoder;
const window = (coder: AnyCoder): Coder<Window> => coder as Coder<Window>;

const FACTORIES: Readonly<Record<string, readonly [components: number, CoderFactory]>> = {
  'beam:coder:bytes:v1': [0, () => new BytesCoder()],
  'beam:coder:string_utf8:v1': [0, () => new StringUtf8Coder()],
  'beam:coder:bool:v1': [0, () => new BoolCoder()],
  'beam:coder:varint:v1': [0, () => new VarIntCoder()],
  'beam:coder:double:v1': [0, () => new DoubleCoder()],
  'beam:coder:kv:v1': [2, (parts) => new KvCoder(first(parts), second(parts))],
  'beam:coder:iterable:v1': [1, (parts) => new IterableCoder(first(parts))],
  'beam:coder:state_backed_iterable:v1': [
    1,
    (parts, _, fetchTail) => new IterableCoder(first(parts), 'beam:coder:state_backed_iterable:v1', fetchTail),
  ],
  'beam:coder:length_prefix:v1': [1, (parts) => new LengthPrefixCoder(first(parts))],
  'beam:coder:nullable:v1': [1, (parts) => new NullableCoder(first(parts))],
  'beam:coder:sharded_key:v1': [1, (parts) => new ShardedKeyCoder(first(parts))],
  'beam:coder:global_window:v1': [0, () => new GlobalWindowCoder()],
  'beam:coder:interval_window:v1': [0, () => new IntervalWindowCoder()],
  'beam:coder:custom_window:v1': [1, (parts) => new CustomWindowCoder(window(first(parts)))],
  'beam:coder:windowed_value:v1': [2, (parts) => new WindowedValueCoder(first(parts), window(second(parts)))],
  'beam:coder:param_windowed_value:v1': [
    2,
    (parts, payload) => new ParamWindowedValueCoder(first(parts), window(second(parts)), payload),
  ],
  'beam:coder:timer:v1': [2, (parts) => new TimerCoder(first(parts), window(second(parts)))],
  'beam:coder:row:v1': [0, (_, payload) => RowCoder.fromPayload(payload)],
  'headwater:coder:value:v1': [0, () => new ValueCoder()],
  'headwater:coder:key:v1': [0, () => new KeyCoder()],
};

/** @throws {@link InvalidPipelineError} for a URN that is not known, or too few components */
export function createCoder(
  urn: string,
  components: readonly AnyCoder[],
  payload: Uint8Array,
  fetchTail?: IterableTail,
): AnyCoder {
  const known = FACTORIES[urn];
  if (known === undefined) {
    throw new InvalidPipelineError(
      `coder ${urn} is not known here; known are ${Object.keys(FACTORIES).join(', ')}. Give the collection another coder`,
    );
  }
  const [expected, factory] = known;
  if (components.length < expected) {
    throw new InvalidPipelineError(
      `coder ${urn} has ${components.length} component coders, where ${expected} are needed`,
    );
  }
  return factory(components, payload, fetchTail) as AnyCoder;
}
