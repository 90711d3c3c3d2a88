import { entityOf } from './entity_key.ts';
import type { FeatureRow } from './feature_row.ts';
import { valueText } from './value_codec.ts';

/** How values of certain names are written. */
interface Shape {
  readonly names: readonly string[];
  /** `"count_1h":`, each with what comes before it. */
  readonly openings: readonly string[];
  /** The same in the order in which jsonb keeps keys, and where each value is. */
  readonly stored: readonly { readonly opening: string; readonly at: number }[];
}

/** Of the newest row of each view. */
const shapes = new Map<string, Shape>();

function shapeOf({ view, version, values }: FeatureRow): Shape {
  const id = `${view}@${version}`;
  const held = shapes.get(id);
  if (held !== undefined && hasNames(values, held.names)) return held;
  const shape = shapeWith(Object.keys(values));
  shapes.set(id, shape);
  return shape;
}

function hasNames(values: FeatureRow['values'], names: readonly string[]): boolean {
  let at = 0;
  for (const name in values) {
    if (name !== names[at]) return false;
    at += 1;
  }
  return at === names.length;
}

function shapeWith(names: readonly string[]): Shape {
  const opened = (name: string, at: number): string => `${at === 0 ? '{' : ','}${JSON.stringify(name)}:`;
  const stored = names.map((name, at) => ({ name, at })).sort((a, b) => jsonbOrder(a.name, b.name));
  return {
    names,
    openings: names.map(opened),
    stored: stored.map(({ name, at }, place) => ({ opening: opened(name, place), at })),
  };
}

/** By length, then by bytes: https://github.com/postgres/postgres, src/backend/utils/adt/jsonb_util.c, lengthCompareJsonbString. */
function jsonbOrder(a: string, b: string): number {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length - other.length || one.compare(other);
}

/** A row goes to two stores and a topic: its values are written out once. */
const encoded = new WeakMap<FeatureRow['values'], readonly string[]>();

function cellsOf(values: FeatureRow['values']): readonly string[] {
  let cells = encoded.get(values);
  if (cells === undefined) {
    const written: string[] = [];
    for (const name in values) written.push(valueText(values[name]));
    cells = written;
    encoded.set(values, cells);
  }
  return cells;
}

/** Returns values as a JSON array in the order of `names`; undefined where the row's are in another order, or not all there. */
export const valuesArray = (values: FeatureRow['values'], names: readonly string[]): string | undefined =>
  hasNames(values, names) ? `[${cellsOf(values).join(',')}]` : undefined;

/** Returns a row's values as a JSON object, in their order. */
function valuesJson(row: FeatureRow): string {
  const { openings } = shapeOf(row);
  const cells = cellsOf(row.values);
  if (openings.length === 0) return '{}';
  let text = '';
  for (let at = 0; at < openings.length; at += 1) text += (openings[at] as string) + (cells[at] as string);
  return `${text}}`;
}

/** Returns a row's values as the text of a jsonb object: with its keys in the order in which PostgreSQL keeps them, which it reads in two thirds of the time. */
export function storedJson(row: FeatureRow): string {
  const { stored } = shapeOf(row);
  const cells = cellsOf(row.values);
  if (stored.length === 0) return '{}';
  let text = '';
  for (const { opening, at } of stored) text += opening + (cells[at] as string);
  return `${text}}`;
}

/** What `JSON.stringify` of a row with values in their JSON form gives, with the name of its entity: `"entity":"user","entityKey":"user:u1"`. */
export function rowJson(row: FeatureRow): string {
  const { view, version, entityKey, eventTime, computedAt } = row;
  const head = `{"view":${JSON.stringify(view)},"version":${version}`;
  const of = `"entity":${JSON.stringify(entityOf(entityKey))},"entityKey":${JSON.stringify(entityKey)}`;
  return `${head},${of},"eventTime":${eventTime},"computedAt":${computedAt},"values":${valuesJson(row)}}`;
}
