import { dataFingerprint, featureFingerprint, viewData } from '#feature_store/definitions/definition_data';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { previousHash } from '#feature_store/definitions/sets/previous_fingerprint';
import { valuesArray } from '#feature_store/definitions/values/encode_row';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { codecOf, isOwnJson, packedText, type ValueCodec } from '#feature_store/definitions/values/value_codec';
import { type EventTime, eventTime, type ProcessingTime, processingTime } from '#kernel/time';

/** Which value is where in a packed row: names in order, each with the fingerprint of its definition. */
export type RowLayout = readonly (readonly [name: string, definition: string])[];

interface Packed {
  readonly eventTime: EventTime;
  readonly computedAt: ProcessingTime;
  /** Fingerprint of the layout it was written with. */
  readonly layout: string;
  /** JSON array of values in their packed form. */
  readonly values: string;
}

/** The strings that values were read from: they are written out again without formatting. */
const cellTexts = new WeakMap<FeatureRow['values'], string>();

/** @returns all values as a JSON array, in the order of the view's features; undefined where only the values are known */
export const arrayTextOf = (values: FeatureRow['values']): string | undefined => cellTexts.get(values);

/** @returns each value as JSON, in the order of the view's features; undefined where only the values are known */
export function cellTextsOf(values: FeatureRow['values'], count: number): readonly string[] | undefined {
  const cells = cellTexts.get(values)?.slice(1, -1).split(',');
  // More of them where there is a comma in a text.
  return cells?.length === count ? cells : undefined;
}

/**
 * A view's rows as strings: `<event time> <computed at> <fingerprint> [value, …]`, a third of the size of a JSON object with names. The fingerprint
 * says by which definitions the values were computed.
 */
export class RowCodec {
  readonly layout: RowLayout;
  readonly fingerprint: string;
  readonly view: FeatureView;
  readonly #id: string;
  readonly #names: readonly string[];
  /** Features whose values JSON does not give back by itself. */
  readonly #typed: readonly (readonly [name: string, codec: ValueCodec])[];
  /** Embeddings are packed: other values are written as everywhere. */
  readonly #hasEmbeddings: boolean;
  /** Of the same definitions, as releases before 0.2 wrote them. */
  readonly #previous: RowLayout;

  constructor(view: FeatureView) {
    this.view = view;
    this.#id = viewId(view);
    this.#names = Object.keys(view.features);
    this.#typed = Object.entries(view.features)
      .filter(([, { type }]) => !isOwnJson(type))
      .map(([name, { type }]) => [name, codecOf(type)] as const);
    this.#hasEmbeddings = Object.values(view.features).some(({ type }) => type.includes('embedding('));
    const data = viewData(view);
    this.layout = this.#names.map((name) => [name, featureFingerprint(data, name)]);
    this.fingerprint = dataFingerprint([this.#id, this.layout]);
    this.#previous = describeView(view).features.map(({ description: _, ...rest }) => [rest.name, previousHash(rest)]);
  }

  encode({ eventTime: at, computedAt, values }: FeatureRow): string {
    const names = this.#names;
    const head = `${at} ${computedAt} ${this.fingerprint} `;
    const whole = this.#hasEmbeddings ? undefined : valuesArray(values, names);
    if (whole !== undefined) return head + whole;
    let text = `${head}[`;
    for (let index = 0; index < names.length; index += 1) {
      const cell = packedText(values[names[index] as string]);
      text += index === 0 ? cell : `,${cell}`;
    }
    return `${text}]`;
  }

  /** @param layout - of {@link Packed.layout}, when that is not this codec's; values of other definitions are left out */
  decode(entityKey: EntityKey, packed: Packed, layout: RowLayout = this.layout): FeatureRow {
    const cells = JSON.parse(packed.values) as readonly FeatureValue[];
    const values: Record<string, FeatureValue> = {};
    const { view, version } = this.view;
    if (layout === this.layout) {
      const names = this.#names;
      for (let index = 0; index < names.length; index += 1)
        values[names[index] as string] = cells[index] as FeatureValue;
      if (this.#typed.length === 0) cellTexts.set(values, packed.values);
      for (const [name, codec] of this.#typed) values[name] = codec.read(values[name]);
    } else {
      const held = new Map(layout.map(([name, definition], index) => [`${name} ${definition}`, cells[index]]));
      for (const [index, [name, definition]] of this.layout.entries()) {
        const value = held.get(`${name} ${definition}`) ?? held.get(`${name} ${this.#previous[index]?.[1]}`);
        if (value !== undefined) values[name] = value;
      }
      for (const [name, codec] of this.#typed) if (values[name] !== undefined) values[name] = codec.read(values[name]);
    }
    return { view, version, entityKey, eventTime: packed.eventTime, computedAt: packed.computedAt, values };
  }
}

/** @returns undefined for what is no packed row, such as one of an earlier release */
export function unpack(text: string): Packed | undefined {
  const first = text.indexOf(' ');
  const second = text.indexOf(' ', first + 1);
  const third = text.indexOf(' ', second + 1);
  if (third !== second + 17 || text.charCodeAt(third + 1) !== 91) return undefined;
  return {
    eventTime: eventTime(Number(text.slice(0, first))),
    computedAt: processingTime(Number(text.slice(first + 1, second))),
    layout: text.slice(second + 1, third),
    values: text.slice(third + 1),
  };
}
