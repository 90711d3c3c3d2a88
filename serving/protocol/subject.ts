import type { FastifyRequest } from 'fastify';
import { InvalidRequestError } from '../errors.ts';
import type { Features } from '../inference/predictor.ts';
import type { Subject } from '../routing/assignment.ts';

// Whom rows are about, and which variant is to answer them, in protocols whose bodies have no place for it.

const ENTITY_HEADER = 'x-entity-id';
const VARIANT_HEADER = 'x-variant';
/** TargetVariant of the SageMaker runtime. */
const TARGET_VARIANT = 'x-amzn-sagemaker-target-variant';

/** Metadata of a gRPC call that are passed to the HTTP routes. */
export const SUBJECT_HEADERS = [ENTITY_HEADER, VARIANT_HEADER];

/**
 * Reads the entity and the variant from headers and parameters.
 *
 * @param parameters - of a request of the Open Inference Protocol: `entity_id`, `variant`
 * @throws {@link InvalidRequestError} where the two differ, or one is no string
 */
export function subjectOf({ headers }: Pick<FastifyRequest, 'headers'>, parameters: Features = {}): Subject {
  const entity = oneOf([
    [`header ${ENTITY_HEADER}`, headers[ENTITY_HEADER]],
    ['parameter entity_id', parameters.entity_id],
  ]);
  const variant = oneOf([
    [`header ${VARIANT_HEADER}`, headers[VARIANT_HEADER]],
    [`header ${TARGET_VARIANT}`, headers[TARGET_VARIANT]],
    ['parameter variant', parameters.variant],
  ]);
  return { ...(entity === undefined ? {} : { entity }), ...(variant === undefined ? {} : { variant }) };
}

function oneOf(said: readonly (readonly [where: string, value: unknown])[]): string | undefined {
  const given = said.filter(([, value]) => value !== undefined);
  for (const [where, value] of given) {
    if (typeof value !== 'string' || value === '') throw new InvalidRequestError(`${where} must be a string`);
    const [first, before] = given[0] as readonly [string, unknown];
    if (value !== before) throw new InvalidRequestError(`${first} is ${before}, and ${where} is ${value}: send one`);
  }
  return given[0]?.[1] as string | undefined;
}
