import type { FeatureService } from '#feature_store/definitions/feature_service';
import { declaredValue } from '#feature_store/definitions/values/declared_value';
import { type FeatureRow, type FeatureValue, viewId } from '#feature_store/definitions/values/feature_row';
import { type FeatureType, isPlainType } from '#feature_store/definitions/values/value_type';
import { WrongTypeError } from '#feature_store/definitions/values/wrong_type_error';
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
  const { stored, onDemand } = service;
  const { blank, columns, inputs } = planOf(service);
  const ofViews: (Values | undefined)[] = [];
  for (let at = 0; at < stored.length; at += 1) {
    const row = rows[at];
    const { view } = stored[at] as FeatureService['stored'][number];
    ofViews.push(row === undefined ? undefined : valuesAsOf(view, row.values, asOfMs));
  }
  for (const [at, view] of onDemand.entries()) {
    const seen: Record<string, FeatureValue> = {};
    for (const input of inputs[at] as readonly Place[]) seen[input.name] = ofViews[input.view]?.[input.name] ?? null;
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
    ofViews.push(computed);
  }
  const vector: Record<string, FeatureValue> = { ...blank };
  for (const { name, view } of columns) vector[name] = ofViews[view]?.[name] ?? null;
  return vector;
}

/** A value of a view, by its place among the stored views and those computed on demand. */
interface Place {
  readonly name: string;
  readonly view: number;
}

interface VectorPlan {
  readonly columns: readonly Place[];
  /** Of each view on demand. */
  readonly inputs: readonly (readonly Place[])[];
  /** A vector without values: all vectors of a service have one shape. */
  readonly blank: Values;
}

const plans = new WeakMap<FeatureService, VectorPlan>();

function planOf(service: FeatureService): VectorPlan {
  let plan = plans.get(service);
  if (plan === undefined) {
    const ids = [...service.stored.map(({ view }) => viewId(view)), ...service.onDemand.map(viewId)];
    plan = {
      columns: service.columns.map(({ name, view }) => ({ name, view: ids.indexOf(view) })),
      inputs: service.onDemand.map((view) =>
        view.inputs.flatMap((input) => input.names.map((name) => ({ name, view: ids.indexOf(viewId(input.view)) }))),
      ),
      blank: Object.fromEntries(service.columns.map(({ name }) => [name, null])),
    };
    plans.set(service, plan);
  }
  return plan;
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
