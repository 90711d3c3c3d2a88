import { DefinitionError } from '#feature_store/definitions/errors';
import { viewId } from '#feature_store/definitions/feature_row';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { changesBetween, identityChanges } from '#feature_store/definitions/lineage';
import type { OfflineStore } from './offline_store.ts';

/**
 * Compares views with what they were when rows were last written with them, and keeps what they are now. A feature may be added to a version;
 * one that is taken out or becomes another thing would break who reads it, and needs a new version.
 *
 * @throws {@link DefinitionError} naming view, feature and what has changed
 */
export async function checkDefinitions(offline: OfflineStore, views: readonly FeatureView[]): Promise<void> {
  const problems: string[] = [];
  for (const view of views) {
    const before = await offline.readDefinition(view);
    if (before === undefined) continue;
    const now = describeView(view);
    const found = [
      ...identityChanges(before, now),
      ...changesBetween(before, now)
        .filter(({ isBreaking }) => isBreaking)
        .map(
          ({ feature, change, detail }) =>
            `feature ${feature} was ${change}${detail === undefined ? '' : `: ${detail}`}`,
        ),
    ];
    for (const problem of found) {
      problems.push(
        `view ${viewId(view)}: ${problem}. Its rows are in use: leave it, and make version ${view.version + 1} beside it`,
      );
    }
  }
  if (problems.length > 0) throw new DefinitionError(problems);
  for (const view of views) await offline.writeDefinition(describeView(view));
}
