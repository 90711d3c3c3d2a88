import { entityOf } from './entity_key.ts';
import type { FeatureRow } from './feature_row.ts';
import { jsonOfValues } from './value_codec.ts';

/** A row goes to two stores and a topic: its values are written out once. */
const encoded = new WeakMap<FeatureRow['values'], string>();

export function valuesJson(values: FeatureRow['values']): string {
  let text = encoded.get(values);
  if (text === undefined) {
    text = JSON.stringify(jsonOfValues(values));
    encoded.set(values, text);
  }
  return text;
}

/** What `JSON.stringify` of a row with values in their JSON form gives, with the name of its entity: `"entity":"user","entityKey":"user:u1"`. */
export function rowJson({ view, version, entityKey, eventTime, computedAt, values }: FeatureRow): string {
  const head = `{"view":${JSON.stringify(view)},"version":${version}`;
  const of = `"entity":${JSON.stringify(entityOf(entityKey))},"entityKey":${JSON.stringify(entityKey)}`;
  return `${head},${of},"eventTime":${eventTime},"computedAt":${computedAt},"values":${valuesJson(values)}}`;
}
