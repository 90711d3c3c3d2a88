import { type CodeOptions, describeCode } from '#feature_store/definitions/code_identity';
import { dataFingerprint } from '#feature_store/definitions/definition_data';
import { type Feature, field, type WindowFeature } from '#feature_store/definitions/feature';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { FeatureType } from '#feature_store/definitions/values/value_type';
import { functionIdentityOf } from '#kernel/functions/function_identity';
import { ACCUMULATORS, type AccumulatorKind } from './accumulators.ts';
import type { EntityState } from './entity_state.ts';
import type { Tile } from './tiles.ts';

/** What the parts of a view's state mean, by name: saved with the state, so that a changed definition finds its own parts (docs/adr/0017). */
export interface ViewLayout {
  readonly format: 1;
  /** In the order in which tiles hold them. */
  readonly slots: readonly string[];
  /** In the order in which entities hold their sessions, ms. */
  readonly gapsMs: readonly number[];
  /** Tiles are kept for so long after the newest event. */
  readonly keptMs: number;
}

type Fn = (...args: never[]) => unknown;

/** A slot's name, and whether whatever has it accumulates the same. */
export interface SlotName {
  readonly name: string;
  /** False: the source of its filter does not show which values it captured, so that another slot may have the name. */
  readonly isExact: boolean;
}

/**
 * Names a slot by what it accumulates: `moments@1(amount)[3f2a…]`. A filter is named by its source; one that uses captured variables or imported helpers, whose values
 * its source does not show, by what the author lists of them, or else by the feature's name. A field that is a feature of single events is named with that feature's function,
 * unless the feature is that field of the event.
 *
 * @param inputType - what values are converted to before they are accumulated; undefined: they are taken as the event has them
 */
export function slotName(
  view: FeatureView,
  featureName: string,
  feature: WindowFeature,
  kind: AccumulatorKind,
  inputType?: FeatureType,
): SlotName {
  const { field: name = '', where, code } = feature;
  const derived: Feature | undefined = view.features[name];
  const computedBy =
    derived !== undefined && 'compute' in derived && !isPlainField(derived, name)
      ? `=${functionName(derived.compute as Fn, name, 'field' in derived ? undefined : derived.code)}`
      : '';
  const filter = where === undefined ? '' : `[${functionName(where as Fn, withoutWindow(featureName), code)}]`;
  return {
    name: `${kind}@${ACCUMULATORS[kind].version}(${name}${inputType === undefined ? '' : `:${inputType}`}${computedBy})${filter}`,
    isExact: where === undefined || functionIdentityOf(where as Fn).free.length === 0 || listsAll(code),
  };
}

/** A `version` covers one function, and says nothing of another with the same source. */
const listsAll = (code: CodeOptions | undefined): boolean => code?.uses !== undefined && code.version === undefined;

const PLAIN_FIELD = functionIdentityOf(field('', 'double', '').compute as Fn).hash;

/** Windows see the same whether or not the view has the field as a feature. */
const isPlainField = (derived: Feature, name: string): boolean =>
  derived.kind === 'event' && derived.field === name && functionIdentityOf(derived.compute as Fn).hash === PLAIN_FIELD;

/** Returns a slot's name as it is now: states of before named plain fields with their function. */
const nameNow = (saved: string): string =>
  saved.replace(/\((.+)=([0-9a-f]{16}) \1\)/, (whole, name, hash) => (hash === PLAIN_FIELD ? `(${name})` : whole));

function functionName(fn: Fn, of: string, code: CodeOptions | undefined): string {
  const { hash, free } = functionIdentityOf(fn);
  if (free.length === 0 && code?.version === undefined) return hash;
  return `${hash} ${code === undefined ? of : dataFingerprint(describeCode(fn, code))}`;
}

/** `count_24h` is one aggregation with `count_7d`. */
const withoutWindow = (name: string): string => name.replace(/_\d+[smhd]$/, '');

/** How state saved under another layout is read, and what that leaves out. */
export interface LayoutChange {
  readonly convert: (state: EntityState) => EntityState;
  /** For the log: which slots are dropped, start empty, or hold less than their windows. */
  readonly changes: readonly string[];
}

/**
 * Returns how an entity's state saved under `saved` becomes one of `current`: slots and sessions are found by name; those that are new start empty and hold what comes from
 * now on. A string says why it cannot be read.
 */
export function adaptLayout(saved: ViewLayout, current: ViewLayout): LayoutChange | string {
  if (saved.format !== current.format)
    return `its layout has format ${saved.format}, and this version reads ${current.format}`;
  const savedSlots = saved.slots.map(nameNow);
  const slots = current.slots.map((name) => savedSlots.indexOf(name));
  const gaps = current.gapsMs.map((gapMs) => saved.gapsMs.indexOf(gapMs));
  const changes: string[] = [];
  for (const [at, from] of slots.entries()) if (from < 0) changes.push(`${current.slots[at]} starts empty`);
  for (const [at, from] of gaps.entries())
    if (from < 0) changes.push(`sessions with a gap of ${current.gapsMs[at]} ms start empty`);
  for (const name of savedSlots) if (!current.slots.includes(name)) changes.push(`${name} is dropped`);
  for (const gapMs of saved.gapsMs)
    if (!current.gapsMs.includes(gapMs)) changes.push(`sessions with a gap of ${gapMs} ms are dropped`);
  if (current.keptMs > saved.keptMs) {
    changes.push(`windows beyond ${saved.keptMs} ms hold only what was kept for shorter ones`);
  }
  const convertTile = (tile: Tile): Tile => ({
    ...tile,
    slots: slots.map((from) => (from < 0 ? null : (tile.slots[from] ?? null))),
  });
  return {
    changes,
    convert: (state) => ({
      ...state,
      tiles: { ...state.tiles, tiles: state.tiles.tiles.map(convertTile) },
      sessions: gaps.map((from) => (from < 0 ? [] : (state.sessions[from] ?? []))),
    }),
  };
}
