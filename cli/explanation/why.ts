import Table from 'cli-table3';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { entityOf } from '#feature_store/definitions/values/entity_key';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { valueText } from '#feature_store/definitions/values/value_codec';
import { explanationJson } from '#feature_store/explanation/explanation_json';
import type { ExplainedFormula, ValueExplanation } from '#feature_store/explanation/value_explanation';
import { viewOfFeature } from '#feature_store/explanation/view_of_feature';
import { startAll } from '#kernel/lifecycle';
import { isoTime } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { openBroker, openOffline, openOnline } from '../parts/open_parts.ts';
import { openRegistry } from '../parts/open_registry.ts';
import { entityKeysOf } from '../project/config/entity_option.ts';
import { loadProject, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { timeOption } from '../terminal/options.ts';
import { print } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { openExplainer } from './open_explainer.ts';

export interface WhyOptions {
  readonly at?: string;
  readonly view?: string;
  readonly limit: number;
  readonly offset: number;
  readonly json: boolean;
}

/** `headwater why value user:u1 count_24h`: how a feature of an entity came to its value. */
export async function whyValue(
  entity: string,
  feature: string,
  { at, view: id, limit, offset, json }: WhyOptions,
): Promise<void> {
  const atMs = timeOption('--at', at);
  const project = await loadProject();
  const { view, entityKey } = subjectOf(project, entity, feature, id);
  const explanation = await withExplainer(project, (explain) =>
    explain({ view, feature, entityKey, atMs, page: { offset, limit } }),
  );
  if (explanation === undefined)
    throw new CommandFailedError(
      `nothing is known of ${entityKey} in ${viewId(view)}: no row is stored, and no event was found`,
    );
  if (json) print(JSON.stringify(explanationJson(explanation)));
  else printExplanation(explanation);
}

/** @throws {@link CommandFailedError} for a feature that no view of the entity has, or an id of several entities */
function subjectOf(
  { catalog }: Project,
  text: string,
  feature: string,
  id: string | undefined,
): { readonly view: FeatureView; readonly entityKey: EntityKey } {
  const found = entityKeysOf(catalog, text).flatMap((entityKey) => {
    const views = catalog.views.filter(({ entity }) => entity.name === entityOf(entityKey));
    const view = viewOfFeature(views, feature, id);
    return view === undefined ? [] : [{ view, entityKey }];
  });
  const [only, ...others] = found;
  if (only === undefined) {
    const of = id === undefined ? 'no view' : `view ${id}`;
    throw new CommandFailedError(`${of} of "${text}" has a feature "${feature}": headwater features list`);
  }
  if (others.length > 0)
    throw new UsageError(
      `"${text}" is an id of several entities: write ${found.map(({ entityKey }) => entityKey).join(' or ')}`,
    );
  return only;
}

async function withExplainer<T>(
  project: Project,
  work: (explain: ReturnType<typeof openExplainer>) => Promise<T>,
): Promise<T> {
  const log = createLogger({ level: 'error' });
  const broker = await openBroker(project, log);
  const online = await openOnline(project, log, project.catalog.views);
  const offline = await openOffline(project, log);
  const registry = openRegistry(project);
  const services = await startAll([broker, online, offline], new AbortController().signal);
  try {
    const { topics } = project;
    const names = [topics.rawEvents, topics.deadLetters];
    await broker.ensureTopics(names.map((name) => ({ name, partitions: topics.partitions })));
    return await work(openExplainer({ broker, online, offline, registry }, project));
  } finally {
    await services[Symbol.asyncDispose]();
    await registry.close();
  }
}

function printExplanation(explanation: ValueExplanation): void {
  const { entityKey, view, feature, served, recomputed, window, events, uncounted, refused, usedBy } = explanation;
  const value = served?.value ?? recomputed?.value ?? null;
  print(`${feature} of ${entityKey} is ${valueText(value)} as of ${isoTime(explanation.atMs)} (${viewId(view)})`);
  if (served !== undefined)
    print(
      `  stored      row of ${isoTime(served.row.eventTime)}, computed ${isoTime(served.row.computedAt)}, ${served.from}`,
    );
  print(`  recomputed  ${recomputedText(explanation)}`);
  print(`  definition  version ${view.version}, fingerprint ${explanation.fingerprint}, owner ${view.owner}`);
  printFormula(explanation.formula, '  formula     ');
  if (window !== undefined) {
    const passed =
      window.passedOver === 0 ? '' : `; ${window.passedOver} more do not pass its filter or lack its field`;
    print(
      `  window      ${isoTime(window.fromMs)} to ${isoTime(window.untilMs)}, ${window.tiles.length} tiles${passed}`,
    );
  }
  if (explanation.refusedRow !== undefined)
    print(`  refused     the row of ${isoTime(explanation.refusedRow.timeMs)} breaks ${explanation.refusedRow.rule}`);
  for (const { from, events: count, gaps } of explanation.places)
    print(`  read        ${from}: ${count} events${gaps.length === 0 ? '' : `; ${gaps.join('; ')}`}`);
  const models = usedBy.models.map(({ name, version, stage }) => `${name} ${version} (${stage})`);
  if (models.length > 0)
    print(`  used by     ${models.join(', ')}; ${usedBy.predictions.length} predictions of this entity`);
  if (events.total > 0) {
    print(
      `${events.total} events, newest first${events.items.length < events.total ? `; ${events.items.length} from ${events.offset}` : ''}`,
    );
    print(
      tableOf(
        ['event', 'time', 'arrived', 'contribution', 'from'],
        events.items.map(({ eventId, eventTimeMs, arrivedAtMs, contribution, from, place }) => [
          ...[eventId, isoTime(eventTimeMs), isoTime(arrivedAtMs)],
          contribution === undefined ? '' : valueText(contribution as Parameters<typeof valueText>[0]),
          place === undefined ? from : `${from} ${place}`,
        ]),
      ),
    );
  }
  if (uncounted.total > 0) {
    print(`${uncounted.total} events would have counted and did not`);
    print(
      tableOf(
        ['event', 'time', 'why'],
        uncounted.items.map(({ eventId, eventTimeMs, fate, reason }) => [
          eventId,
          isoTime(eventTimeMs),
          `${fate}: ${reason}`,
        ]),
      ),
    );
  }
  if (refused.length > 0) {
    print(`${refused.length} records of the entity were refused`);
    print(
      tableOf(
        ['event', 'refused', 'why'],
        refused.map(({ eventId, timestamp, stage, reason }) => [eventId ?? '', timestamp, `${stage}: ${reason}`]),
      ),
    );
  }
}

function recomputedText({ view, recomputed, difference }: ValueExplanation): string {
  if (view.mode === 'push') return 'rows of this view are pushed';
  if (difference !== undefined) return `different: ${difference}`;
  return recomputed === undefined ? 'no event was found' : 'equal';
}

function printFormula({ name, formula, inputs }: ExplainedFormula, before: string): void {
  print(`${before}${name} = ${formula.replaceAll(/\s+/g, ' ')}`);
  for (const input of inputs) {
    print(`${' '.repeat(before.length)}${input.name} is ${valueText(input.value)}`);
    printFormula(input, ' '.repeat(before.length + 2));
  }
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}
