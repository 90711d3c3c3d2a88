import { InvalidRequestError } from '../../errors.ts';
import type { Features, Predictor, Row } from '../../inference/predictor.ts';
import type { ActiveModel } from '../../models/model_slot.ts';

export interface BatchBody {
  readonly model_name?: string;
  readonly instances?: readonly (Features | readonly unknown[])[];
  readonly entity_ids?: readonly string[];
  readonly return_probabilities?: boolean;
  readonly return_freshness?: boolean;
}

/** What a batch is said to be answered by when its rows were assigned to several variants. */
export const MIXED = 'mixed';

/** Rows of a batch that one version answers. */
export interface BatchPart {
  readonly active: ActiveModel;
  readonly rows: readonly Row[];
  /** Where they are in the request. */
  readonly indices: readonly number[];
}

/**
 * Entities are assigned one by one, with their features looked up; instances have no entity, and all go to one version.
 *
 * @returns at least one
 * @throws {@link InvalidRequestError}
 */
export async function batchParts(predictor: Predictor, body: BatchBody): Promise<readonly [BatchPart, ...BatchPart[]]> {
  const { instances, entity_ids: entities } = body;
  const list = instances ?? entities;
  if (list === undefined) {
    throw new InvalidRequestError([{ field: 'instances', problem: 'is required, or entity_ids' }]);
  }
  if (instances !== undefined && entities !== undefined) {
    throw new InvalidRequestError([{ field: 'entity_ids', problem: 'was sent beside instances: send one of them' }]);
  }
  await predictor.ensure(body.model_name);
  if (entities === undefined) {
    const active = predictor.activeFor(body.model_name);
    return [{ active, rows: rowsOf(active, instances ?? []), indices: list.map((_, index) => index) }];
  }
  const byVersion = new Map<ActiveModel, number[]>();
  for (const [index, entity] of entities.entries()) {
    const active = predictor.activeFor(body.model_name, { entity });
    const indices = byVersion.get(active);
    if (indices === undefined) byVersion.set(active, [index]);
    else indices.push(index);
  }
  const parts = [...byVersion].map(async ([active, indices]) => {
    const own = indices.map((index) => entities[index] as string);
    return { active, indices, rows: await predictor.lookUp(active, own, {}, body.return_freshness === true) };
  });
  const [first, ...others] = await Promise.all(parts);
  return [first as BatchPart, ...others];
}

const isList = (instance: Features | readonly unknown[]): instance is readonly unknown[] => Array.isArray(instance);

function rowsOf({ model }: ActiveModel, instances: NonNullable<BatchBody['instances']>): Row[] {
  const { inputs } = model.signature;
  return instances.map((instance, index) => {
    if (!isList(instance)) return { features: instance, entity: undefined };
    if (instance.length !== inputs.length) {
      const problem = `has ${instance.length} values; the model has ${inputs.length} columns`;
      throw new InvalidRequestError([{ field: `instances.${index}`, problem }]);
    }
    return { features: Object.fromEntries(inputs.map(({ name }, at) => [name, instance[at]])), entity: undefined };
  });
}
