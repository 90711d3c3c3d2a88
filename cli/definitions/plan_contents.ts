import { createFileSystems } from '#connectors/files/file_systems';
import type { ApplyLock, StoredDefinition } from '#feature_store/definition_store/applied_definitions';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import {
  changesOf,
  type DefinitionKind,
  type Definitions,
  definitionsOfSet,
  describeChange,
  type KnownDefinitions,
  type NeededHistory,
  type PlannedChange,
  servicesConcerned,
} from '#feature_store/definitions/sets/definition_plan';
import type { KnownService } from '#feature_store/definitions/sets/definition_set';
import { definitionSet } from '#feature_store/definitions/sets/definition_set';
import type { EventSource } from '#feature_store/definitions/sources/source';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { messageOf } from '#kernel/errors';
import { type ArchiveList, readList } from '#pipelines/archive/archive_list';
import { missingEventsOf } from '../jobs/state_hand_over.ts';
import { archiveToRead } from '../parts/archive_folder.ts';
import { bringArchiveUpToDate } from '../parts/control_client.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { definitionsOf, type Project } from '../project/project.ts';
import { type ModelInUse, modelsInUse, problemsOfModel, type Services, usesAny } from './model_definitions.ts';

/** A change with what it concerns. */
export interface PlanLine {
  readonly kind: DefinitionKind;
  readonly id: string;
  readonly change: PlannedChange['change'];
  readonly breaking: boolean;
  readonly differences: readonly string[];
  readonly services: readonly string[];
  /** Versions of models in use that read it. */
  readonly models: readonly string[];
}

/** A back-fill that changes need. */
export interface PlannedBackfill {
  /** Of one source. */
  readonly views: readonly string[];
  /** By view, features that are computed beside the others; absent: whole views. */
  readonly features?: Readonly<Record<string, readonly string[]>>;
  readonly source: string;
  /** Patterns of files, where they are not those of the source's history. */
  readonly in?: readonly string[];
  /** Where its history lies, or why there is none. */
  readonly from: string;
  readonly possible: boolean;
  readonly range: { readonly from: string; readonly to: string } | undefined;
  readonly estimated_events: number | undefined;
  readonly estimated_seconds: number | undefined;
  /** Whether the estimate is by back-fills that ran here. */
  readonly measured: boolean;
}

export interface Plan {
  readonly changes: readonly PlanLine[];
  readonly backfills: readonly PlannedBackfill[];
  /** Models in use that would be refused, with the reasons. */
  readonly refused_models: readonly { readonly model: string; readonly problems: readonly string[] }[];
  readonly breaking: boolean;
  /** The apply that runs, or was interrupted. */
  readonly apply: ApplyLock | undefined;
  /** What could not be examined. */
  readonly notes: readonly string[];
}

export interface PlanOptions {
  /** Files for sources that declare no history. */
  readonly in?: readonly string[];
}

/** Events a second that are assumed where no back-fill was measured. */
const ASSUMED_RATE = 2_000;

/** Returns what the definitions of the code need, compared with those of the store. */
export async function makePlan(offline: OfflineDatabase, config: Project, options: PlanOptions): Promise<Plan> {
  const notes: string[] = [];
  const code = definitionSet(config.catalog);
  const next = definitionsOfSet(code);
  const known = knownFrom(await offline.definitions.readDefinitions());
  for (const note of await unreadBefore(offline, config.catalog.views, known.inUse, next)) notes.push(note);
  const changes = changesOf(known, next);
  const before = servicesOf(known.inUse);
  const models = await modelsOf(config, notes);
  const refused = models.flatMap((model) => {
    const problems = problemsOfModel(model, before, code.services);
    return problems.length === 0 ? [] : [{ model: model.id, problems }];
  });
  const lines = changes.map((change) => lineOf(change, [next, known.inUse], models, { ...before, ...code.services }));
  const needed = new Map(changes.flatMap(({ id, history }) => (history === undefined ? [] : [[id, history]])));
  const archive = await archiveFor(config, needed);
  const backfills = await backfillsOf(offline, config, needed as ReadonlyMap<string, NeededHistory>, options, archive);
  notes.push(...archiveNotes(config, backfills, archive));
  const breaking = refused.length > 0 || lines.some((line) => line.breaking);
  return {
    changes: lines,
    backfills,
    refused_models: refused,
    breaking,
    apply: await offline.definitions.readApplyLock(),
    notes,
  };
}

function lineOf(
  change: PlannedChange,
  definitions: readonly Definitions[],
  models: readonly ModelInUse[],
  services: Services,
): PlanLine {
  const { kind, id, isBreaking } = change;
  const concerned = servicesConcerned(change, definitions);
  const users = models.filter((model) =>
    usesAny(model, change.kind === 'service' ? [id] : [id, ...concerned], services),
  );
  return {
    ...{ kind, id, change: change.change, breaking: isBreaking, differences: describeChange(change) },
    ...{ services: concerned, models: users.map((model) => model.id) },
  };
}

function knownFrom(stored: readonly StoredDefinition[]): KnownDefinitions {
  const of = (kind: DefinitionKind, part: 'data' | 'applied') =>
    Object.fromEntries(
      stored.flatMap((each) => (each.kind === kind && each[part] !== null ? [[each.id, each[part]]] : [])),
    );
  const all = (part: 'data' | 'applied') =>
    ({ views: of('view', part), onDemand: of('on_demand', part), services: of('service', part) }) as Definitions;
  return { inUse: all('data'), applied: all('applied') };
}

/** Views of which only a description of a release before 0.2 is kept. */
async function unreadBefore(
  offline: OfflineDatabase,
  views: readonly FeatureView[],
  inUse: Definitions,
  next: Definitions,
): Promise<readonly string[]> {
  const notes: string[] = [];
  for (const view of views) {
    const id = viewId(view);
    if (inUse.views[id] !== undefined || next.views[id] === undefined) continue;
    if ((await offline.definitions.readView(view)) === undefined) continue;
    notes.push(`view ${id} was recorded by a release that did not keep formulas: start the platform once to record it`);
  }
  return notes;
}

/** Returns services as models see them: views as services of their own among them. */
function servicesOf({ views, services }: Definitions): Services {
  const known = (service: string, data: KnownService['data']): [string, KnownService] => [
    service,
    { service, fingerprint: '', previous: undefined, data },
  ];
  return Object.fromEntries([
    ...Object.entries(views).map(([id, data]) => {
      const columns = Object.fromEntries(Object.keys(data.features).map((name) => [name, id]));
      return known(id, { unknownEntities: 'refuse', columns, views: { [id]: data }, onDemand: {} });
    }),
    ...Object.entries(services).map(([id, data]) => known(id, data)),
  ]);
}

async function modelsOf(
  project: Pick<Project, 'registry' | 'extensions' | 'models'>,
  notes: string[],
): Promise<readonly ModelInUse[]> {
  try {
    return await modelsInUse(project);
  } catch (error) {
    notes.push(`models were not examined: ${messageOf(error)}`);
    return [];
  }
}

async function backfillsOf(
  offline: OfflineDatabase,
  config: Project,
  needed: ReadonlyMap<string, NeededHistory>,
  options: PlanOptions,
  archive: ArchiveList | undefined,
): Promise<readonly PlannedBackfill[]> {
  const enabled = definitionsOf(config).views;
  const views = enabled.filter((view) => needed.has(viewId(view)));
  const rate = await offline.definitions.readBackfillRate();
  const bySource = new Map(views.map((view) => [view.events.name, view]));
  const groups = [...bySource.values()].flatMap(({ events, sources }) => {
    const ids = views.filter((view) => view.events.name === events.name).map(viewId);
    const isWhole = (id: string): boolean => needed.get(id) === 'view';
    return [ids.filter(isWhole), ids.filter((id) => !isWhole(id))]
      .filter((part) => part.length > 0)
      .map((part) => ({ events, sources, ids: part, features: featuresOf(part, needed) }));
  });
  return Promise.all(
    groups.map(async ({ events: of, sources, ids, features }): Promise<PlannedBackfill> => {
      const { hasOwn, ...found } = await historyOf(sources, options.in, archive);
      const { events, times } = await sizeOf(offline, config.catalog.views, of, archive, hasOwn);
      const estimated = found.possible ? events : undefined;
      return {
        ...{ views: ids, source: of.name, ...found, ...(features === undefined ? {} : { features }) },
        range: times === undefined ? undefined : { from: isoOf(times.from), to: isoOf(times.to) },
        estimated_events: estimated,
        estimated_seconds: estimated === undefined ? undefined : Math.ceil(estimated / (rate ?? ASSUMED_RATE)),
        measured: rate !== undefined,
      };
    }),
  );
}

/** The archive of raw events, with those of a moment ago where views of this project need a history. */
async function archiveFor(config: Project, needed: ReadonlyMap<string, unknown>): Promise<ArchiveList | undefined> {
  const place = archiveToRead(config);
  if (place === undefined) return undefined;
  if (definitionsOf(config).views.some((view) => needed.has(viewId(view)))) await bringArchiveUpToDate(config);
  return readList(place);
}

/** What the archive lacks of the events that views of the stream need, where no other history is read. */
function archiveNotes(
  config: Project,
  backfills: readonly PlannedBackfill[],
  archive: ArchiveList | undefined,
): readonly string[] {
  if (archive === undefined) return [];
  const ids = backfills
    .filter(({ possible, in: files }) => possible && files === undefined)
    .flatMap(({ views }) => views);
  const views = config.catalog.views.filter(
    (view) =>
      view.mode === 'streaming' &&
      view.sources.some(({ history }) => history === undefined) &&
      ids.includes(viewId(view)),
  );
  const missing = missingEventsOf(archive, config, views.map(viewId), {});
  return missing === undefined ? [] : [missing];
}

function featuresOf(ids: readonly string[], needed: ReadonlyMap<string, NeededHistory>): PlannedBackfill['features'] {
  const found = ids.flatMap((id): [string, readonly string[]][] => {
    const names = needed.get(id);
    return names === undefined || names === 'view' ? [] : [[id, names]];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

const isoOf = (timeMs: number): string => new Date(timeMs).toISOString();

/** How many events a source has had, by the archive and by rows that were made of them. */
async function sizeOf(
  offline: OfflineDatabase,
  views: readonly FeatureView[],
  { name, eventTypes }: FeatureView['events'],
  archive: ArchiveList | undefined,
  hasOwn: boolean,
) {
  const siblings = views.filter((view) => view.events.name === name);
  const counts = await Promise.all(siblings.map((view) => offline.features.countRows(view)));
  const known = (await Promise.all(siblings.map((view) => offline.features.timesOf(view)))).filter(
    (each) => each !== undefined,
  );
  const files = filesOf(archive, { eventTypes });
  const archived = files.reduce((sum, { rows }) => sum + rows, 0);
  const days = files.map(({ date }) => Date.parse(date)).filter(Number.isFinite);
  const events = hasOwn ? Math.max(archived, ...counts, 0) : archived;
  const starts = [...known.map(({ oldest }) => Number(oldest)), ...days];
  if (starts.length === 0) return { events: events || undefined, times: undefined };
  const to = Math.max(...known.map(({ newest }) => Number(newest)), ...days);
  return { events: events || undefined, times: { from: Math.min(...starts), to } };
}

const filesOf = (archive: ArchiveList | undefined, { eventTypes }: Pick<EventSource, 'eventTypes'>) =>
  (archive?.files ?? []).filter(({ eventType }) => eventTypes.includes(eventType));

type FoundHistory = Pick<PlannedBackfill, 'from' | 'possible' | 'in'> & { readonly hasOwn: boolean };

/** Where events of the past are to be read: of each source. */
async function historyOf(
  sources: readonly EventSource[],
  given: readonly string[] | undefined,
  archive: ArchiveList | undefined,
): Promise<FoundHistory> {
  // Files that are given are read instead of the histories, of all sources alike.
  const patterns = sources.every(({ history }) => history === undefined) ? given : undefined;
  const found = await Promise.all(sources.map((source) => historyOfSource(source, patterns, archive)));
  const [only, ...others] = found as [FoundHistory, ...FoundHistory[]];
  if (others.length === 0) return only;
  const possible = found.every((each) => each.possible);
  const named = found.map(({ from }, index) => `${(sources[index] as EventSource).name}: ${from}`);
  const from = possible ? named : named.filter((_, index) => !(found[index] as FoundHistory).possible);
  const isGiven = found.some((each) => each.in !== undefined);
  return {
    ...{ from: from.join('; '), possible, hasOwn: found.some(({ hasOwn }) => hasOwn) },
    ...(isGiven ? { in: patterns as readonly string[] } : {}),
  };
}

async function historyOfSource(
  source: EventSource,
  patterns: readonly string[] | undefined,
  archive: ArchiveList | undefined,
): Promise<FoundHistory> {
  const places: string[] = [];
  const missing: string[] = [];
  const { history } = source;
  const files = history === undefined ? patterns : 'files' in history ? history.files : undefined;
  if (history !== undefined && 'query' in history) places.push(`the query ${history.query}`);
  if (files !== undefined) {
    const fileSystemOf = createFileSystems();
    const found = await Promise.all(files.map(async (pattern) => (await fileSystemOf(pattern).glob(pattern)).length));
    const total = found.reduce((sum, each) => sum + each, 0);
    if (total === 0) missing.push(`no file matches ${files.join(', ')}`);
    else places.push(`${total} ${total === 1 ? 'file' : 'files'} of ${files.join(', ')}`);
  }
  // Besides the archive.
  const hasOwn = places.length > 0;
  const archived = filesOf(archive, source).length;
  if (archived > 0) places.push(`${archived} ${archived === 1 ? 'file' : 'files'} of the archive of raw events`);
  else
    missing.push(archive === undefined ? 'there is no archive of raw events' : 'the archive holds none of its events');
  const isGiven = history === undefined && hasOwn && patterns !== undefined;
  if (places.length > 0) {
    return { from: places.join(' and '), possible: true, hasOwn, ...(isGiven ? { in: patterns } : {}) };
  }
  if (history === undefined && patterns === undefined)
    missing.push('its source declares no history, and --in names no files');
  return { from: missing.join('; '), possible: false, hasOwn };
}

/** Whether there is something to apply. */
export const hasWork = ({ changes, apply }: Plan): boolean => changes.length > 0 || apply !== undefined;
