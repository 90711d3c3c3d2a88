import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { RunRecord } from '#kernel/workflow_runs';
import type { ModelVersion } from '#registry/model_registry';
import type { Hit } from '#serving/console/answers';
import { matches } from './catalogue.ts';

interface Deps {
  readonly views: readonly FeatureView[];
  readonly services: readonly FeatureService[];
  readonly entities: readonly string[];
  readonly topics: readonly string[];
  readonly versions: () => Promise<readonly ModelVersion[]>;
  readonly workflows: () => Promise<readonly string[]>;
  readonly runs: () => Promise<readonly RunRecord[]>;
}

const HITS = 40;
const OF_A_KIND = 8;

/** Returns a search over everything that has a page. An id of an entity is offered as one of each entity: which have rows is seen there. */
export function searchOver(deps: Deps): (text: string) => Promise<readonly Hit[]> {
  return async (text) => {
    const [versions, workflows, runs] = await Promise.all([
      deps.versions().catch(() => []),
      deps.workflows().catch(() => []),
      deps.runs().catch(() => []),
    ]);
    const models = [...new Set(versions.map(({ name }) => name))];
    const id = encodeURIComponent(text.trim());
    const kinds: readonly (readonly Hit[])[] = [
      hits('model', text, models, (name) => [name, 'model', `models/${name}`]),
      hits('view', text, deps.views, (view) => [
        viewId(view),
        [view.description, view.owner, ...view.tags].join(' · '),
        `views/${viewId(view)}`,
      ]),
      hits(
        'feature',
        text,
        deps.views.flatMap((view) => Object.entries(view.features).map(([name, of]) => ({ view, name, of }))),
        ({ view, name, of }) => [name, `${viewId(view)} · ${of.description}`, `views/${viewId(view)}/${name}`],
      ),
      hits('service', text, deps.services, ({ name, version, description }) => [
        `${name}@${version}`,
        description,
        `services/${name}@${version}`,
      ]),
      hits('source', text, [...new Set(deps.views.flatMap((view) => view.sources.map(({ name }) => name)))], (name) => [
        name,
        'source',
        `sources?source=${encodeURIComponent(name)}`,
      ]),
      hits('version', text, versions, ({ name, version, stage, description }) => [
        `${name} ${version}`,
        [stage, description].filter((part) => part !== '').join(' · '),
        `models/${name}/${version}`,
      ]),
      hits('workflow', text, workflows, (name) => [name, 'workflow', 'workflows']),
      hits('run', text, runs, (run) => [
        run.id,
        `${run.workflow} · ${run.status}`,
        `runs?run=${encodeURIComponent(run.id)}`,
      ]),
      hits('topic', text, deps.topics, (topic) => [topic, 'topic', `topics/${topic}`]),
      deps.entities.map((entity) => ({
        ...{ kind: 'entity', name: `${entity}:${text.trim()}`, detail: `look up ${entity} ${text.trim()}` },
        link: `entities?${new URLSearchParams({ entity, id: text.trim() })}`,
      })),
      [
        {
          kind: 'prediction',
          name: text.trim(),
          detail: 'why a prediction with this id is what it is',
          link: `why?prediction=${id}`,
        },
      ],
    ];
    return kinds.flat().slice(0, HITS);
  };
}

function hits<T>(
  kind: string,
  text: string,
  all: readonly T[],
  of: (one: T) => readonly [name: string, detail: string, link: string],
): readonly Hit[] {
  const wanted = text.trim().toLowerCase();
  return all
    .map(of)
    .filter(([name, detail]) => matches(text.trim(), [name, detail]))
    .sort(([a], [b]) => rank(a, wanted) - rank(b, wanted))
    .slice(0, OF_A_KIND)
    .map(([name, detail, link]) => ({ kind, name, detail, link }));
}

/** A name that begins with what is looked for comes before one that contains it. */
function rank(name: string, wanted: string): number {
  const at = name.toLowerCase().indexOf(wanted);
  return at === 0 ? name.length : at > 0 ? 1_000 + at : 2_000;
}
