import { declaredValue } from '#feature_store/definitions/declared_value';
import { type FeatureRow, type FeatureValue, viewId } from '#feature_store/definitions/feature_row';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import { type FeatureType, isPlainType } from '#feature_store/definitions/value_type';
import { WrongTypeError } from '#feature_store/definitions/wrong_type_error';
import { FeatureComputationError, RequestFieldsError } from '../errors.ts';
import { valuesAsOf } from './as_of.ts';

type Values = Readonly<Record<string, FeatureValue>>;

/** The rows a service needs of one entity, in the order of its stored views; undefined where there is none. */
export type ServiceRows = readonly (Pick<FeatureRow, 'values'> | undefined)[];

/**
 * A service's columns for one entity, by name: stored values as they are seen at `asOfMs`, then what is computed on demand. What no row has is
 * null. The one function that serving, the API and training sets call.
 *
 * @throws {@link FeatureComputationError} when the function of a feature throws, or gives a value of another type than declared
 */
export function vectorOf(service: FeatureService, rows: ServiceRows, request: Values, asOfMs: number): Values {
  const { stored, onDemand, columns } = service;
  const byView = new Map<string, Values>();
  for (let at = 0; at < stored.length; at += 1) {
    const { view } = stored[at] as FeatureService['stored'][number];
    const row = rows[at];
    if (row !== undefined) byView.set(viewId(view), valuesAsOf(view, row.values, asOfMs));
  }
  for (const view of onDemand) {
    const seen: Record<string, FeatureValue> = {};
    for (const input of view.inputs) {
      const values = byView.get(viewId(input.view));
      for (const name of input.names) seen[name] = values?.[name] ?? null;
    }
    for (const name in view.request) seen[name] = request[name] ?? null;
    const computed: Record<string, FeatureValue> = {};
    for (const name in view.features) {
      const { type, compute } = view.features[name] as (typeof view.features)[string];
      try {
        computed[name] = declaredValue(type, compute(seen, asOfMs));
      } catch (error) {
        throw new FeatureComputationError(viewId(view), name, error);
      }
    }
    byView.set(viewId(view), computed);
  }
  const vector: Record<string, FeatureValue> = {};
  for (const { name, view } of columns) vector[name] = byView.get(view)?.[name] ?? null;
  return vector;
}

/** What a value of a request must be. */
const WANTED: Readonly<Record<string, string>> = {
  double: 'a number',
  long: 'an integer of at most 53 bits',
  int64: 'an integer of 64 bits, as a string of digits or a number',
  boolean: 'true or false',
  string: 'a string without NUL or lone surrogates',
  timestamp: 'a time of RFC 3339',
  bytes: 'base64',
};

/** A value as the type has it, or what is wrong with it. */
function requestValue(
  type: FeatureType,
  value: unknown,
): { readonly value: FeatureValue } | { readonly problem: string } {
  try {
    if (!(Number.isNaN(value) && isPlainType(type))) return { value: declaredValue(type, value) };
  } catch (error) {
    if (!(error instanceof WrongTypeError)) throw error;
    const wanted = WANTED[type];
    if (wanted === undefined) return { problem: `must be ${type}: ${error.message}` };
  }
  return { problem: `must be ${WANTED[type]}` };
}

/**
 * @returns the fields of a request that a service's on-demand features need; null is a value
 * @throws {@link RequestFieldsError} naming every field that is missing or of another type
 */
export function requestFields({ signature }: FeatureService, given: Readonly<Record<string, unknown>>): Values {
  const problems: { field: string; problem: string }[] = [];
  const taken: Record<string, FeatureValue> = {};
  for (const { name, type } of signature.request) {
    const value = given[name];
    if (value === undefined) {
      problems.push({ field: name, problem: `is required by ${signature.service}` });
      continue;
    }
    const read = requestValue(type, value);
    if ('problem' in read) problems.push({ field: name, problem: read.problem });
    else taken[name] = read.value;
  }
  if (problems.length > 0) throw new RequestFieldsError(problems);
  return taken;
}
