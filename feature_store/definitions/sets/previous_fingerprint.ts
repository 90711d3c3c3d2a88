import { createHash } from 'node:crypto';
import type { FeatureService } from '../feature_service.ts';
import { describeView } from '../feature_view.ts';
import type { ViewColumns } from '../on_demand.ts';
import { viewId } from '../values/feature_row.ts';

/**
 * Returns the fingerprint that releases before 0.2 gave a service: of all that descriptions of its views say, but not of functions and filters. Models and rows that they
 * made are judged by it.
 */
export function previousFingerprint({ signature, stored }: FeatureService): string {
  const { service, entity, joinKeys, columns, request } = signature;
  return previousHash([{ service, entity, joinKeys, columns, request }, stored.map(definitionsOf)]);
}

/** Sixteen hexadecimal digits of SHA-256. */
export const previousHash = (data: unknown): string =>
  createHash('sha256').update(JSON.stringify(data)).digest('hex').slice(0, 16);

function definitionsOf({ view, names }: ViewColumns): unknown {
  const { entity, joinKeys, source, features } = describeView(view);
  const chosen = features.filter(({ name }) => names.includes(name)).map(({ description: _, ...rest }) => rest);
  return { view: viewId(view), entity, joinKeys, source, features: chosen };
}
