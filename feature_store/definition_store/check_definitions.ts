import { type ViewData, viewData } from '#feature_store/definitions/definition_data';
import { DefinitionError } from '#feature_store/definitions/errors';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { describeDifference, viewDifferences } from '#feature_store/definitions/sets/definition_changes';
import { changesBetween, identityChanges } from '#feature_store/definitions/sets/lineage';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { DefinitionRecord, DefinitionStore } from './applied_definitions.ts';

type Store = Pick<DefinitionStore, 'readView' | 'writeView' | 'readDefinitions' | 'recordDefinitions'>;

/**
 * Compares views with what they were when rows were last written with them, and records what is new. A feature may be added to a version; one that is taken out or computes something else would break
 * those who read it: that needs a new version.
 *
 * @param others - on-demand views and services, which are recorded only
 * @throws {@link DefinitionError} naming view, feature and what has changed
 */
export async function checkDefinitions(
  offline: Store,
  views: readonly FeatureView[],
  others: readonly DefinitionRecord[] = [],
): Promise<void> {
  const applied = new Map<string, ViewData>();
  for (const { kind, id, data } of await offline.readDefinitions()) if (kind === 'view') applied.set(id, data);
  const problems: string[] = [];
  for (const view of views) {
    const before = applied.get(viewId(view));
    const found =
      before === undefined
        ? await changesOfDescription(offline, view)
        : viewDifferences(viewId(view), before, viewData(view))
            .filter(({ change }) => change !== 'added')
            .map(describeDifference);
    for (const problem of found) {
      problems.push(
        `view ${viewId(view)}: ${problem}. Its rows are in use: leave it, and make version ${view.version + 1} beside it; or see headwater plan for what the change breaks, and apply it`,
      );
    }
  }
  if (problems.length > 0) throw new DefinitionError(problems);
  const records = views.map((view): DefinitionRecord => ({ kind: 'view', id: viewId(view), data: viewData(view) }));
  await offline.recordDefinitions([...records, ...others], 'have_no_history');
  for (const view of views) await offline.writeView(describeView(view));
}

/** Changes of a view that a release before 0.2 recorded: by its description, which does not show functions and filters. */
async function changesOfDescription(offline: Pick<Store, 'readView'>, view: FeatureView): Promise<readonly string[]> {
  const before = await offline.readView(view);
  if (before === undefined) return [];
  const now = describeView(view);
  return [
    ...identityChanges(before, now),
    ...changesBetween(before, now)
      .filter(({ isBreaking }) => isBreaking)
      .map(
        ({ feature, change, detail }) => `feature ${feature} was ${change}${detail === undefined ? '' : `: ${detail}`}`,
      ),
  ];
}
