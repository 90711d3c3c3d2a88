import { readFile } from 'node:fs/promises';
import { inspect, isDeepStrictEqual } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { GLOBAL_WINDOW, Window } from '#pipelines/engine/windowing/window';
import { ByteReader, ByteWriter } from '#pipelines/model/coders/bytes';
import type { Coder } from '#pipelines/model/coders/coder';
import { createCoder } from '#pipelines/model/coders/from_proto';
import { fromWireMillis } from '#pipelines/model/coders/wire_time';

/**
 * npm run conformance:coders -- FILE.yaml: checks every case of a file in the format of Beam's standard_coders.yaml, decoding and
 * encoding, nested and not, and ends with `N passed, N failed`.
 */
interface CoderSpec {
  readonly urn: string;
  readonly payload?: string;
  readonly components?: readonly CoderSpec[];
  readonly non_deterministic?: boolean;
  readonly state?: Readonly<Record<string, string>>;
}

interface Section {
  readonly coder: CoderSpec;
  readonly nested?: boolean;
  readonly examples: ReadonlyMap<string, unknown>;
}

const [file] = process.argv.slice(2);
if (file === undefined || file === '--help') {
  process.stdout.write(
    'usage: npm run conformance:coders -- FILE.yaml (in the format of Beam’s standard_coders.yaml)\n',
  );
  process.exit(file === undefined ? 2 : 0);
}

let passed = 0;
let failed = 0;
for (const document of parseAllDocuments(await readFile(file, 'utf8'), { intAsBigInt: true, uniqueKeys: false })) {
  const section = toSection(document.toJS({ mapAsMap: true }));
  if (section !== undefined) checkSection(section);
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/** Maps become objects, except the examples, whose keys are bytes. */
function toSection(document: unknown): Section | undefined {
  if (!(document instanceof Map)) return undefined;
  const plain = toObject(new Map([...document].filter(([key]) => key !== 'examples'))) as Omit<Section, 'examples'>;
  return { ...plain, examples: (document.get('examples') ?? new Map()) as ReadonlyMap<string, unknown> };
}

function toObject(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toObject);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, item]) => [key, toObject(item)]));
}

function checkSection({ coder: spec, nested, examples }: Section): void {
  const contexts = nested === undefined ? [false, true] : [nested];
  for (const [encoded, example] of examples) {
    for (const context of contexts) {
      const problem = check(spec, context, latin1(encoded), toObject(example));
      if (problem === undefined) passed += 1;
      else {
        failed += 1;
        process.stdout.write(
          `FAILED ${spec.urn} ${context ? 'nested' : 'outer'} ${JSON.stringify(encoded)}: ${problem}\n`,
        );
      }
    }
  }
}

function check(spec: CoderSpec, nested: boolean, bytes: Uint8Array, example: unknown): string | undefined {
  try {
    const coder = coderOf(spec, spec.state ?? {});
    const expected = exampleValue(spec, coder, example);
    const reader = new ByteReader(bytes);
    const decoded = coder.decode(reader, nested);
    if (!reader.isAtEnd) return `${reader.remaining} bytes are left after decoding`;
    if (!isDeepStrictEqual(decoded, expected)) return `decoded ${inspect(decoded)}, expected ${inspect(expected)}`;
    const out = new ByteWriter();
    coder.encode(expected, out, nested);
    const again = out.finish();
    if (spec.non_deterministic) {
      const roundTrip = coder.decode(new ByteReader(again), nested);
      return isDeepStrictEqual(roundTrip, expected) ? undefined : `came back as ${inspect(roundTrip)}`;
    }
    if (Buffer.compare(again, bytes) !== 0) return `encoded as ${Buffer.from(again).toString('hex')}`;
    return undefined;
  } catch (error) {
    return String(error);
  }
}

function coderOf(spec: CoderSpec, state: Readonly<Record<string, string>>): Coder<unknown> {
  const components = (spec.components ?? []).map((component) => coderOf(component, state));
  return createCoder(spec.urn, components, latin1(spec.payload ?? ''), (token) =>
    latin1(state[Buffer.from(token).toString('latin1')] ?? ''),
  );
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

/** What an example's JSON stands for. */
function exampleValue(spec: CoderSpec, coder: Coder<unknown>, example: unknown): unknown {
  const parts = spec.components ?? [];
  const part = (index: number, value: unknown): unknown =>
    exampleValue(parts[index] as CoderSpec, coder.components[index] as Coder<unknown>, value);
  switch (spec.urn) {
    case 'beam:coder:bytes:v1':
      return latin1(example as string);
    case 'beam:coder:varint:v1':
      return integer(example);
    case 'beam:coder:double:v1':
      return Number(example);
    case 'beam:coder:nullable:v1':
      return example === null ? null : part(0, example);
    case 'beam:coder:kv:v1': {
      const { key, value } = example as { key: unknown; value: unknown };
      return { key: part(0, key), value: part(1, value) };
    }
    case 'beam:coder:iterable:v1':
    case 'beam:coder:state_backed_iterable:v1':
      return (example as unknown[]).map((item) => part(0, item));
    case 'beam:coder:sharded_key:v1': {
      const { shardId, key } = example as { shardId: string; key: unknown };
      return { shardId: latin1(shardId), key: part(0, key) };
    }
    case 'beam:coder:global_window:v1':
      return GLOBAL_WINDOW;
    case 'beam:coder:interval_window:v1':
      return interval(example);
    case 'beam:coder:custom_window:v1':
      return part(0, (example as { window: unknown }).window);
    case 'beam:coder:windowed_value:v1':
    case 'beam:coder:param_windowed_value:v1': {
      const { value, timestamp, windows, pane } = example as Record<string, unknown>;
      return { value: part(0, value), timestamp: time(timestamp), windows: windowsOf(windows), pane: paneOf(pane) };
    }
    case 'beam:coder:timer:v1': {
      const timer = example as Record<string, unknown>;
      const windows = windowsOf(timer.windows);
      const head = { userKey: part(0, timer.userKey), dynamicTimerTag: timer.dynamicTimerTag, windows };
      if (timer.clearBit === true) return { ...head, clearBit: true };
      return {
        ...head,
        clearBit: false,
        fireTimestamp: time(timer.fireTimestamp),
        holdTimestamp: time(timer.holdTimestamp),
        pane: paneOf(timer.pane),
      };
    }
    case 'beam:coder:row:v1':
      return rowOf(coder, example as Readonly<Record<string, unknown>>);
    default:
      return example;
  }
}

function integer(value: unknown): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : BigInt(value as bigint);
}

function time(value: unknown): number {
  return fromWireMillis(BigInt(value as bigint));
}

function windowsOf(windows: unknown): Window[] {
  return (windows as unknown[]).map((window) => (window === 'global' ? GLOBAL_WINDOW : interval(window)));
}

function interval(example: unknown): Window {
  const { end, span } = example as { end: bigint; span: bigint };
  const at = time(end);
  return new Window(at - Number(span), at);
}

function paneOf(example: unknown): unknown {
  const pane = example as Record<string, unknown>;
  return {
    isFirst: pane.is_first,
    isLast: pane.is_last,
    timing: pane.timing,
    index: Number(pane.index),
    onTimeIndex: Number(pane.on_time_index),
  };
}

/** The file gives row fields untyped; what a field decodes to says how its example is to be read. */
function rowOf(coder: Coder<unknown>, example: Readonly<Record<string, unknown>>): unknown {
  const types = (coder as { fieldKinds?: Readonly<Record<string, string>> }).fieldKinds ?? {};
  return Object.fromEntries(Object.entries(example).map(([name, value]) => [name, fieldOf(types[name], value)]));
}

function fieldOf(kind: string | undefined, value: unknown): unknown {
  if (value === null) return null;
  switch (kind) {
    case 'bytes':
      return latin1(value as string);
    case 'float':
      return Math.fround(Number(value));
    case 'double':
      return Number(value);
    case 'instant':
      // The file shows the 8 bytes as a signed number, which is shifted by 2^63.
      return time(BigInt.asIntN(64, BigInt(value as bigint) - (1n << 63n)));
    case 'map':
      return new Map(Object.entries(value as object).map(([key, item]) => [key, item === null ? null : integer(item)]));
    default:
      return typeof value === 'bigint' ? integer(value) : typeof value === 'object' ? nested(value) : value;
  }
}

function nested(value: object): unknown {
  if (Array.isArray(value)) return value.map((item) => fieldOf(undefined, item));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, fieldOf(undefined, item)]));
}
