import { definitionKind } from './definition_kind.ts';
import { DefinitionError } from './errors.ts';
import { checkServices, type FeatureService } from './feature_service.ts';
import { checkViews, type FeatureView } from './feature_view.ts';
import type { OnDemandView } from './on_demand.ts';
import type { EventSource } from './sources/source.ts';
import { viewId } from './values/feature_row.ts';

/** All feature definitions of a project. */
export interface Catalog {
  readonly views: readonly FeatureView[];
  readonly onDemand: readonly OnDemandView[];
  /** What models use. Each view, whole, is a service too, under its own name. */
  readonly services: readonly FeatureService[];
  /** The event types that the gateway takes: those that a streaming view is computed from. */
  readonly sources: readonly EventSource[];
}

/**
 * Collects the views and services among `definitions`, each once, in their order, and checks them together; what is none of these is left out.
 *
 * @throws {@link DefinitionError} when two have one name, identify an entity differently or give a feature the same name
 */
export function createCatalog(definitions: Iterable<unknown>): Catalog {
  const found = new Set(definitions);
  const of = <T>(kind: ReturnType<typeof definitionKind>): T[] =>
    [...found].filter((value) => definitionKind(value) === kind) as T[];
  const views = of<FeatureView>('view');
  const onDemand = of<OnDemandView>('on_demand');
  const services = of<FeatureService>('service');
  checkViews([...views, ...onDemand]);
  checkServices(services, [...views, ...onDemand].map(viewId));
  const sources = [...new Set(views.filter(({ mode }) => mode === 'streaming').flatMap(({ sources }) => sources))];
  checkSources(sources);
  return { views, onDemand, services, sources };
}

/** An event's type says which source it is of: no two may share one. */
function checkSources(sources: readonly EventSource[]): void {
  const owners = new Map<string, string>();
  const problems: string[] = [];
  for (const { name, eventTypes } of sources) {
    for (const type of eventTypes) {
      const owner = owners.get(type);
      if (owner !== undefined) {
        problems.push(`sources ${owner} and ${name} both have the event type "${type}": give one another type`);
      }
      owners.set(type, name);
    }
  }
  if (problems.length > 0) throw new DefinitionError(problems);
}
