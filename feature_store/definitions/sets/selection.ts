import { z } from 'zod';
import { duration } from '#configs/duration';
import { DefinitionError } from '#feature_store/definitions/errors';
import type { Feature } from '#feature_store/definitions/feature';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { contractOf } from '#feature_store/definitions/rules/view_contract';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { knownNames } from '#kernel/known_names';
import { type Duration, durationMs } from '#kernel/times/duration';

/** configs/features.yaml: which of the defined views and features this environment runs. */
export const featuresConfigSchema = z.strictObject({
  /** Length of the windows that statistics of features are of; `off`: none are made. */
  statisticsWindow: z.union([z.literal('off'), duration]).default('1h' as Duration),
  /** How often both stores are compared; `off`: never. */
  consistencyInterval: z.union([z.literal('off'), duration]).default('5m' as Duration),
  /** How often rows are compared with the contracts of their views; `off`: never. */
  contractInterval: z.union([z.literal('off'), duration]).default('5m' as Duration),
  /** By view, `fraud@1`. */
  views: z
    .record(
      z.string(),
      z.strictObject({
        enabled: z.boolean().default(true),
        /** Features that are not computed and not served. */
        without: z.array(z.string()).default([]),
        /** Instead of the view's own. */
        ttl: duration.optional(),
      }),
    )
    .default({}),
  /** By feature service. */
  services: z.record(z.string(), z.strictObject({ enabled: z.boolean() })).default({}),
});
export type FeaturesConfig = z.infer<typeof featuresConfigSchema>;

/** What a process runs of the catalog. */
export interface Definitions {
  readonly views: readonly FeatureView[];
  readonly services: readonly FeatureService[];
}

/**
 * The catalog without what the configuration switches off.
 *
 * @throws {@link DefinitionError} for names that are not in the catalog, and where what is left needs what is not
 */
export function selectDefinitions(catalog: Definitions, config: FeaturesConfig): Definitions {
  const problems: string[] = [];
  const unknown = (kind: string, known: readonly string[]) => (id: string) => {
    if (!known.includes(id)) problems.push(`features.${kind}.${id}: there is no such one; ${knownNames(id, known)}`);
  };
  Object.keys(config.views).forEach(unknown('views', catalog.views.map(viewId)));
  const serviceIds = catalog.services.map(({ signature }) => signature.service);
  Object.keys(config.services).forEach(unknown('services', serviceIds));
  const views = catalog.views.flatMap((view) => {
    const { enabled = true, without = [], ttl } = config.views[viewId(view)] ?? {};
    if (!enabled) return [];
    const reduced = withoutFeatures(view, without, problems);
    return [ttl === undefined ? reduced : { ...reduced, ttlMs: durationMs(ttl) }];
  });
  const services = catalog.services.filter(({ signature }) => config.services[signature.service]?.enabled ?? true);
  const left = new Map(views.map((view) => [viewId(view), view]));
  for (const { signature, stored } of services) {
    for (const { view, names } of stored) {
      const features = left.get(viewId(view))?.features ?? {};
      const missing = names.filter((name) => features[name] === undefined);
      if (missing.length === 0) continue;
      problems.push(
        `service ${signature.service} needs ${missing.join(', ')} of ${viewId(view)}: switch it off too, in features.services`,
      );
    }
  }
  if (problems.length > 0) throw new DefinitionError(problems);
  return { views, services };
}

function withoutFeatures(view: FeatureView, without: readonly string[], problems: string[]): FeatureView {
  if (without.length === 0) return view;
  const id = viewId(view);
  const left = Object.fromEntries(Object.entries<Feature>(view.features).filter(([name]) => !without.includes(name)));
  for (const name of without) {
    if (view.features[name] === undefined)
      problems.push(`features.views.${id}.without: the view has no feature "${name}"`);
  }
  for (const [name, feature] of Object.entries(left)) {
    const inputs = feature.kind === 'window' ? [feature.field ?? ''] : 'inputs' in feature ? feature.inputs : [];
    const missing = inputs.filter((input) => without.includes(input) && view.features[input] !== undefined);
    if (missing.length > 0)
      problems.push(`features.views.${id}.without: ${name} is computed from ${missing.join(', ')}`);
  }
  const isLeft = (name: string): boolean => left[name] !== undefined;
  return {
    ...view,
    features: left,
    rules: Object.fromEntries(Object.entries(view.rules).filter(([, { features }]) => features.every(isLeft))),
    contract: contractOf(view.contract, isLeft),
    expressionOrder: view.expressionOrder.filter(isLeft),
    asOfOrder: view.asOfOrder.filter(isLeft),
  };
}
