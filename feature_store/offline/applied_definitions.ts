import type { OnDemandData, ViewData } from '#feature_store/definitions/definition_data';
import type { ServiceData } from '#feature_store/definitions/feature_service';

/** A definition as it was when rows were last written with it. */
export type AppliedDefinition =
  | { readonly kind: 'view'; readonly id: string; readonly data: ViewData }
  | { readonly kind: 'on_demand'; readonly id: string; readonly data: OnDemandData }
  | { readonly kind: 'service'; readonly id: string; readonly data: ServiceData };

/** What the offline store knows of definitions. */
export interface DefinitionStore {
  readDefinitions(): Promise<readonly AppliedDefinition[]>;
  /** Adds definitions, or replaces those of the same kind and id; others stay. */
  recordDefinitions(definitions: readonly AppliedDefinition[]): Promise<void>;
}
