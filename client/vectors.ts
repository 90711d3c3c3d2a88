import { RequestFailedError } from './errors.ts';
import type { RequestOptions, Transport } from './transport.ts';

/** Of a request for the vector of a service: values that its on-demand features need. */
export interface VectorRow {
  readonly entity: string;
  readonly request?: Readonly<Record<string, unknown>>;
}

/** The values of a service's columns; undefined where the entity is unknown. */
export type Vector = Readonly<Record<string, unknown>>;

interface VectorAnswer {
  readonly vectors: readonly {
    readonly features: Vector | null;
    readonly error?: { readonly code: string; readonly message: string };
  }[];
}

/**
 * Reads the vectors of a service, in the order of the rows; undefined where an entity is unknown.
 *
 * @throws {@link RequestFailedError} when a row lacks what on-demand features need, or computing the features of one fails
 */
export async function readVectors(
  transport: Transport,
  service: string,
  rows: readonly VectorRow[],
  options?: RequestOptions,
): Promise<readonly (Vector | undefined)[]> {
  const { vectors } = await transport.post<VectorAnswer>('/features/vector', { service, rows }, options);
  return vectors.map(({ features, error }, index) => {
    if (error === undefined) return features ?? undefined;
    throw new RequestFailedError(`${service} of ${rows[index]?.entity}`, 422, error, undefined);
  });
}
