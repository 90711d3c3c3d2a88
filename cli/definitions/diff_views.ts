import { createFileSystems } from '#connectors/files/file_systems';
import {
  comparisonJson,
  comparisonMarkdown,
  labelsJson,
  labelsMarkdown,
} from '#feature_store/comparison/comparison_report';
import { LabelComparison } from '#feature_store/comparison/label_comparison';
import { featuresOfBoth } from '#feature_store/comparison/view_comparison';
import { serviceOfView } from '#feature_store/definitions/feature_service';
import { describeView, type FeatureView } from '#feature_store/definitions/feature_view';
import { changesBetween, type FeatureChange } from '#feature_store/definitions/sets/lineage';
import { Erasures } from '#feature_store/erasure/erasures';
import { loadLabels } from '#feature_store/retrieval/labels';
import { eventTime, isoTime, systemClock } from '#kernel/time';
import { type ComparedViews, compareViews } from '#pipelines/comparison/compare_views';
import { labelOrigins } from '../history/training_set.ts';
import { archiveToRead } from '../parts/archive_folder.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject, type Project } from '../project/project.ts';
import { viewOf } from '../project/view_of.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { timeOption } from '../terminal/options.ts';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { ModelToRescore, type RescoredModel, rescoredJson, rescoredMarkdown } from './rescored_model.ts';

export interface DiffOptions {
  readonly since?: string;
  readonly until?: string;
  readonly labels?: string;
  readonly labelsFile?: string;
  readonly labelsQuery?: string;
  readonly model?: string;
  readonly modelVersion?: number;
  readonly json: boolean;
}

interface Range {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** What was compared on history. */
interface Compared {
  readonly views: ComparedViews;
  readonly labels: LabelComparison | undefined;
  readonly model: RescoredModel | undefined;
}

/** `headwater features diff user_activity@1 user_activity@2`: what changes, with `--since` on history as well, and how to get from one to the other. */
export async function diffViews(before: string, after: string, options: DiffOptions): Promise<void> {
  const sinceMs = timeOption('--since', options.since);
  const untilMs = timeOption('--until', options.until) ?? Date.now();
  if (sinceMs === undefined && (options.model !== undefined || labelOrigins(options).length > 0))
    throw new UsageError('labels and models are compared on history: say --since as well');
  const project = await loadProject();
  const views = [viewOf(project.catalog, before), viewOf(project.catalog, after)] as const;
  const changes = changesBetween(describeView(views[0]), describeView(views[1]));
  const range = sinceMs === undefined ? undefined : { sinceMs, untilMs };
  const compared = range === undefined ? undefined : await comparedOn(project, views, range, options);
  if (options.json) {
    const history = compared === undefined || range === undefined ? null : historyJson(compared, range);
    print(JSON.stringify({ before, after, changes, history }));
    return;
  }
  printChanges(changes, before, after);
  if (compared === undefined || range === undefined) return;
  const { comparison, events, from, gaps } = compared.views;
  print(`\n## ${before} and ${after} from ${isoTime(range.sinceMs)} to ${isoTime(range.untilMs)}\n`);
  print(`${events} events of the ${from}`);
  for (const gap of gaps) print(`missing: ${gap}`);
  print(comparisonMarkdown(comparison));
  if (compared.labels !== undefined) print(`\n### Labels\n\n${labelsMarkdown(compared.labels)}`);
  if (compared.model !== undefined) print(`\n### Model\n\n${rescoredMarkdown(compared.model)}`);
}

const historyJson = ({ views: { from, events, gaps, comparison }, labels, model }: Compared, range: Range) => ({
  ...{ since: isoTime(range.sinceMs), until: isoTime(range.untilMs), from, events, gaps },
  ...comparisonJson(comparison),
  labels: labels === undefined ? null : labelsJson(labels),
  model: model === undefined ? null : rescoredJson(model),
});

async function comparedOn(
  project: Project,
  views: readonly [FeatureView, FeatureView],
  range: Range,
  options: DiffOptions,
): Promise<Compared> {
  const [before, after] = views;
  if (before.entity.name !== after.entity.name || before.events.name !== after.events.name)
    throw new CommandFailedError(
      `the two are of ${before.entity.name} from ${before.events.name} and of ${after.entity.name} from ${after.events.name}: values are compared of one entity and source`,
    );
  for (const { mode, name, version } of views)
    if (mode === 'push')
      throw new CommandFailedError(`rows of ${name}@${version} are pushed: there are no events to compute it from`);
  const asked = options.model === undefined ? undefined : { name: options.model, version: options.modelVersion };
  const model = asked === undefined ? undefined : await ModelToRescore.load(project, asked, views);
  try {
    return await withOffline(project, async (offline) => {
      const labels = await labelsOf(offline, views, range, options);
      const answered = (await model?.momentsIn(offline, before, range)) ?? [];
      const compared = await computed(project, offline, views, range, [...(labels?.moments ?? []), ...answered]);
      return { views: compared, labels, model: await model?.score(project) };
    });
  } finally {
    await model?.release();
  }
}

async function labelsOf(
  offline: OfflineDatabase,
  views: readonly [FeatureView, FeatureView],
  { sinceMs, untilMs }: Range,
  options: DiffOptions,
): Promise<LabelComparison | undefined> {
  const [origin, ...others] = labelOrigins(options);
  if (others.length > 0) throw new UsageError('say one of --labels, --labels-file, --labels-query');
  if (origin === undefined) return undefined;
  const range = { from: eventTime(sinceMs), to: eventTime(untilMs) };
  const parts = { offline, fileSystemOf: createFileSystems() };
  const labels = await loadLabels(parts, origin, serviceOfView(views[0]), range);
  return new LabelComparison(views, featuresOfBoth(views), labels);
}

async function computed(
  project: Project,
  offline: OfflineDatabase,
  views: readonly [FeatureView, FeatureView],
  range: Range,
  asked: LabelComparison['moments'],
): Promise<ComparedViews> {
  const { pipeline, catalog } = project;
  const erasures = new Erasures();
  erasures.load(await offline.erasures.read(0));
  const deps = { offline, erasures, clock: systemClock, views: catalog.views, fileSystems: createFileSystems() };
  const compared = await compareViews(
    { ...deps, archive: archiveToRead(project), outOfOrderMs: pipeline.outOfOrderMs },
    views,
    { ...range, allowedLatenessMs: pipeline.allowedLatenessMs },
    { asked, onProgress: (events) => process.stderr.write(`${events} events read\n`) },
  );
  if (compared === undefined)
    throw new CommandFailedError(
      `there is neither an archive of raw events nor a history of ${views[0].events.name}: switch archive.enabled on, or give the source a history`,
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
