import { createFileSystems } from '#connectors/files/file_systems';
import { comparisonJson, comparisonMarkdown } from '#feature_store/comparison/comparison_report';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { changesBetween, type FeatureChange } from '#feature_store/definitions/sets/lineage';
import { Erasures } from '#feature_store/erasure/erasures';
import { isoTime, systemClock } from '#kernel/time';
import { type ComparedViews, compareViews } from '#pipelines/comparison/compare_views';
import { archiveToRead } from '../parts/archive_folder.ts';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject, type Project } from '../project/project.ts';
import { viewOf } from '../project/view_of.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { timeOption } from '../terminal/options.ts';
import { print } from '../terminal/print.ts';

export interface DiffOptions {
  readonly since?: string;
  readonly until?: string;
  readonly json: boolean;
}

/** `headwater features diff user_activity@1 user_activity@2`: what changes, with `--since` on history as well, and how to get from one to the other. */
export async function diffViews(before: string, after: string, options: DiffOptions): Promise<void> {
  const sinceMs = timeOption('--since', options.since);
  const untilMs = timeOption('--until', options.until) ?? Date.now();
  const project = await loadProject();
  const views = [viewOf(project.catalog, before), viewOf(project.catalog, after)] as const;
  const changes = changesBetween(describeView(views[0]), describeView(views[1]));
  const compared = sinceMs === undefined ? undefined : await comparedOn(project, views, { sinceMs, untilMs });
  if (options.json) {
    const history =
      compared === undefined || sinceMs === undefined
        ? null
        : {
            ...{ since: isoTime(sinceMs), until: isoTime(untilMs), from: compared.from, events: compared.events },
            ...{ gaps: compared.gaps, ...comparisonJson(compared.comparison) },
          };
    print(JSON.stringify({ before, after, changes, history }));
    return;
  }
  printChanges(changes, before, after);
  if (compared === undefined || sinceMs === undefined) return;
  print(`\n## ${before} and ${after} from ${isoTime(sinceMs)} to ${isoTime(untilMs)}\n`);
  print(`${compared.events} events of the ${compared.from}`);
  for (const gap of compared.gaps) print(`missing: ${gap}`);
  print(comparisonMarkdown(compared.comparison));
}

async function comparedOn(
  project: Project,
  views: readonly [FeatureView, FeatureView],
  { sinceMs, untilMs }: { readonly sinceMs: number; readonly untilMs: number },
): Promise<ComparedViews> {
  const [before, after] = views;
  if (before.entity.name !== after.entity.name || before.events.name !== after.events.name)
    throw new CommandFailedError(
      `the two are of ${before.entity.name} from ${before.events.name} and of ${after.entity.name} from ${after.events.name}: values are compared of one entity and source`,
    );
  for (const { mode, name, version } of views)
    if (mode === 'push')
      throw new CommandFailedError(`rows of ${name}@${version} are pushed: there are no events to compute it from`);
  const { pipeline, catalog } = project;
  const compared = await withOffline(project, async (offline) => {
    const erasures = new Erasures();
    erasures.load(await offline.erasures.read(0));
    const deps = { offline, erasures, clock: systemClock, views: catalog.views, fileSystems: createFileSystems() };
    return compareViews(
      { ...deps, archive: archiveToRead(project), outOfOrderMs: pipeline.outOfOrderMs },
      views,
      { sinceMs, untilMs, allowedLatenessMs: pipeline.allowedLatenessMs },
      (events) => process.stderr.write(`${events} events read\n`),
    );
  });
  if (compared === undefined)
    throw new CommandFailedError(
      `there is neither an archive of raw events nor a history of ${before.events.name}: switch archive.enabled on, or give the source a history`,
    );
  return compared;
}

function printChanges(changes: readonly FeatureChange[], before: string, after: string): void {
  for (const { feature, change, detail } of changes) {
    const sign = { added: '+', removed: '-', changed: '~' }[change];
    print(`${sign} ${feature}${detail === undefined ? '' : `: ${detail}`}`);
  }
  if (changes.length === 0) print('no feature differs');
  const breaking = changes.filter(({ isBreaking }) => isBreaking).length;
  print(
    [
      '',
      `${changes.length} changes, ${breaking} of them breaking`,
      'To go over:',
      `  1. headwater start: computes both, side by side, from now on`,
      `  2. headwater features backfill --in 'HISTORY' --view ${after}: the new version's rows of the past`,
      `  3. train on ${after}, promote; models of ${before} keep reading it`,
      `  4. take ${before} out of the catalog when no model names it (headwater features lineage)`,
    ].join('\n'),
  );
}
