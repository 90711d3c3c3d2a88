import { type OnDemandData, onDemandData, type ViewData, viewData } from '../definition_data.ts';
import { type FeatureService, type ServiceData, servicesById } from '../feature_service.ts';
import type { FeatureView } from '../feature_view.ts';
import type { OnDemandView } from '../on_demand.ts';
import { viewId } from '../values/feature_row.ts';
import { previousFingerprint } from './previous_fingerprint.ts';

/** A service as models see it: views as services of their own among them. */
export interface KnownService {
  readonly service: string;
  readonly fingerprint: string;
  /** As releases before 0.2 gave it; undefined where it is not known. */
  readonly previous: string | undefined;
  readonly data: ServiceData;
}

export const SET_FORMAT = 'headwater-definitions-1';

/** All definitions as data. */
export interface DefinitionSet {
  readonly format: typeof SET_FORMAT;
  readonly views: Readonly<Record<string, ViewData>>;
  readonly onDemand: Readonly<Record<string, OnDemandData>>;
  readonly services: Readonly<Record<string, KnownService>>;
  /** Services that are defined as such: the others are views. */
  readonly named: readonly string[];
}

export const knownService = (service: FeatureService): KnownService => ({
  service: service.signature.service,
  fingerprint: service.signature.fingerprint,
  previous: previousFingerprint(service),
  data: service.data,
});

export function definitionSet(catalog: {
  readonly views: readonly FeatureView[];
  readonly onDemand: readonly OnDemandView[];
  readonly services: readonly FeatureService[];
}): DefinitionSet {
  const services = [...servicesById(catalog)].map(([id, service]): [string, KnownService] => [
    id,
    knownService(service),
  ]);
  return {
    format: SET_FORMAT,
    views: Object.fromEntries(catalog.views.map((view) => [viewId(view), viewData(view)])),
    onDemand: Object.fromEntries(catalog.onDemand.map((view) => [viewId(view), onDemandData(view)])),
    services: Object.fromEntries(services),
    named: catalog.services.map(({ signature }) => signature.service),
  };
}
