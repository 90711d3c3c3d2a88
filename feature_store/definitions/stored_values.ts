import type { FeatureView } from './feature_view.ts';
import type { FeatureValue } from './values/feature_row.ts';
import { codecOf, isOwnJson, type ValueCodec } from './values/value_codec.ts';
import { WrongTypeError } from './values/wrong_type_error.ts';

type Values = Readonly<Record<string, FeatureValue>>;

/** Reads a view's values in their JSON form. @param refuse - is given each that is of another type, as of a definition of before; it is left out */
export type ReadStored = (stored: Values, refuse?: (feature: string, error: WrongTypeError) => void) => Values;

const readers = new WeakMap<FeatureView, ReadStored>();
const asItIs: ReadStored = (stored) => stored;

/** Returns how a view's stored values are read; values of types that are their own JSON form are taken as they are. */
export function storedValuesOf(view: FeatureView): ReadStored {
  let read = readers.get(view);
  if (read === undefined) {
    const typed = Object.entries(view.features)
      .filter(([, { type }]) => !isOwnJson(type))
      .map(([name, { type }]) => [name, codecOf(type)] as const);
    read = typed.length === 0 ? asItIs : (stored, refuse) => readTyped(typed, stored, refuse);
    readers.set(view, read);
  }
  return read;
}

function readTyped(
  typed: readonly (readonly [name: string, codec: ValueCodec])[],
  stored: Values,
  refuse: ((feature: string, error: WrongTypeError) => void) | undefined,
): Values {
  const values: Record<string, FeatureValue> = { ...stored };
  for (const [name, codec] of typed) {
    const held = stored[name];
    if (held === undefined || held === null) continue;
    try {
      values[name] = codec.read(held);
    } catch (error) {
      if (!(error instanceof WrongTypeError)) throw error;
      delete values[name];
      refuse?.(name, error);
    }
  }
  return values;
}
