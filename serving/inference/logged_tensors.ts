import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { NamedTensors, TypedTensor } from '#registry/graphs/typed_tensor';
import type { LoggedRows } from '#serving/prediction_store/prediction_log';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';
import type { ActiveModel } from '../models/model_slot.ts';
import { DATATYPES, jsonOf } from '../models/tensor_json.ts';
import type { AnswerIds } from './answered_rows.ts';

/** Characters of the strings of a tensor, together, for each value that may be logged. */
const CHARACTERS_A_VALUE = 16;

/** A tensor that is logged: its data only where they are few. */
type Logged = Pick<TypedTensor, 'type' | 'dims'> & { readonly data?: TypedTensor['data'] };

/** A request whose tensors are no rows of columns: one row of the log, with inputs as features and outputs as the prediction. */
export class LoggedTensors implements LoggedRows {
  readonly count = 1;
  readonly #by: ActiveModel;
  readonly #ids: AnswerIds;
  readonly #predictedAtMs: number;
  readonly #entityKey: EntityKey | undefined;
  readonly #inputs: readonly (readonly [name: string, tensor: Logged])[];
  readonly #outputs: readonly (readonly [name: string, tensor: Logged])[];

  /** @param limits - a tensor of more values is logged by type and shape, and `onLeftOut` called */
  constructor(
    by: ActiveModel,
    tensors: { readonly inputs: NamedTensors; readonly outputs: NamedTensors },
    about: AnswerIds & { readonly entityKey: EntityKey | undefined; readonly predictedAtMs: number },
    limits: { readonly maxValues: number; readonly onLeftOut: () => void },
  ) {
    const { entityKey, predictedAtMs, ...ids } = about;
    const kept = (named: NamedTensors): (readonly [string, Logged])[] =>
      Object.entries(named).map(([name, tensor]) => {
        if (isSmall(tensor, limits.maxValues)) return [name, tensor];
        limits.onLeftOut();
        return [name, { type: tensor.type, dims: tensor.dims }];
      });
    this.#by = by;
    this.#ids = ids;
    this.#entityKey = entityKey;
    this.#predictedAtMs = predictedAtMs;
    this.#inputs = kept(tensors.inputs);
    this.#outputs = kept(tensors.outputs);
  }

  logged(): NewPrediction {
    const { name, version, variant, experiment } = this.#by;
    return {
      ...this.#ids,
      rowIndex: 0,
      modelName: name,
      modelVersion: version,
      variant,
      experiment,
      entityKey: this.#entityKey,
      features: textOf(this.#inputs),
      prediction: textOf(this.#outputs),
      predictedAtMs: this.#predictedAtMs,
    };
  }
}

function isSmall({ type, data }: TypedTensor, maxValues: number): boolean {
  if (data.length > maxValues) return false;
  if (type !== 'string') return true;
  const characters = (data as readonly string[]).reduce((sum, { length }) => sum + length, 0);
  return characters <= maxValues * CHARACTERS_A_VALUE;
}

/** As the Open Inference Protocol has tensors, by name. */
function textOf(tensors: readonly (readonly [string, Logged])[]): string {
  const each = tensors.map(([name, tensor]) => {
    const { type, dims, data } = tensor;
    const written = data === undefined ? '' : `,"data":${jsonOf({ type, dims, data })}`;
    return `${JSON.stringify(name)}:{"datatype":"${DATATYPES[type]}","shape":[${dims}]${written}}`;
  });
  return `{${each.join(',')}}`;
}
