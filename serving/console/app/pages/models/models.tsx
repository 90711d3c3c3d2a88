import { useState } from 'preact/hooks';
import type { ModelVersion } from '#registry/model_registry';
import type { Overview } from '../../../answers.ts';
import { ask, useAsked, useMay } from '../../api.ts';
import { Confirm, Empty, Loaded, Mark, number, Table, timeOf } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';
import { Traffic } from './traffic.tsx';
import { Compare, Version } from './version.tsx';

type Stage = 'Production' | 'Staging' | 'Archived';
type Served = Overview['models'][number];
interface Move {
  readonly version: ModelVersion;
  readonly to: Stage;
}

/** Models; one with its versions and traffic; one version; or two beside each other. */
export function Models({ parts: [name, which], query }: Place) {
  const versions = useAsked<{ readonly versions: readonly ModelVersion[] }>('/console/api/versions');
  return (
    <Loaded asked={versions}>
      {({ versions: all }) => {
        const own = all.filter((each) => each.name === name);
        if (name === undefined) return <List versions={all} />;
        if (which === 'compare')
          return <Compare model={name} versions={own.map(({ version }) => version)} query={query} />;
        if (which !== undefined) return <Version model={name} version={which} />;
        return <Model name={name} versions={own} onChange={versions.refresh} />;
      }}
    </Loaded>
  );
}

function useServed(): { readonly served: readonly Served[]; readonly refresh: () => void } {
  const { data, refresh } = useAsked<Overview>('/console/api/overview');
  return { served: data?.models ?? [], refresh };
}

function List({ versions }: { readonly versions: readonly ModelVersion[] }) {
  const { served } = useServed();
  const rows = [...new Set(versions.map(({ name }) => name))].map((name) => {
    const own = versions.filter((each) => each.name === name);
    const in_ = (stage: Stage) => own.find((version) => version.stage === stage);
    return {
      name,
      count: own.length,
      production: in_('Production'),
      staging: in_('Staging'),
      newest: Math.max(...own.map(({ version }) => version)),
    };
  });
  const link = (version: ModelVersion | undefined) =>
    version === undefined ? '' : <a href={linkTo(['models', version.name, version.version])}>{version.version}</a>;
  return (
    <Table
      caption="Models of the registry"
      rows={rows}
      keyOf={({ name }) => name}
      empty="The registry has no model yet: headwater models register adds a version."
      columns={[
        { title: 'Model', of: ({ name }) => <a href={linkTo(['models', name])}>{name}</a> },
        { title: 'Answers', of: ({ name }) => <Answering served={served.filter((each) => each.name === name)} /> },
        { title: 'Production', of: ({ production }) => link(production), isNumber: true },
        { title: 'Staging', of: ({ staging }) => link(staging), isNumber: true },
        {
          title: 'Newest',
          of: ({ name, newest }) => <a href={linkTo(['models', name, newest])}>{newest}</a>,
          isNumber: true,
        },
        { title: 'Versions', of: ({ count }) => number(count), isNumber: true },
        {
          title: 'Metrics in Production',
          of: ({ production }) => (production === undefined ? '' : metricsOf(production)),
        },
      ]}
    />
  );
}

function Model({
  name,
  versions,
  onChange,
}: {
  readonly name: string;
  readonly versions: readonly ModelVersion[];
  readonly onChange: () => void;
}) {
  const { served, refresh } = useServed();
  const [move, setMove] = useState<Move>();
  const own = served.filter((each) => each.name === name);
  if (versions.length === 0) return <Empty>The registry has no model {name}.</Empty>;
  return (
    <>
      <Answering served={own} />
      <Versions versions={versions} onMove={setMove} />
      <p>{versions.length < 2 ? null : <a href={linkTo(['models', name, 'compare'])}>Compare two versions</a>}</p>
      {own.length === 0 ? null : <Traffic name={name} onChange={refresh} />}
      <Trail name={name} />
      {move === undefined ? null : (
        <Confirm
          title={`${move.version.name} ${move.version.version} to ${move.to}`}
          action={move.to === 'Archived' ? 'Archive' : 'Promote'}
          onClose={() => {
            setMove(undefined);
            onChange();
          }}
          onConfirm={async (reason) => {
            const { version } = move.version;
            await ask(`/console/api/models/${name}/versions/${version}/move`, {
              method: 'POST',
              body: { stage: move.to, reason },
            });
            return `${name} ${version} is in ${move.to}; serving follows within seconds.`;
          }}
        >
          <p>
            {move.to === 'Archived'
              ? 'It is taken out of its stage.'
              : 'The gates are asked first; one that is not passed refuses it.'}
          </p>
        </Confirm>
      )}
    </>
  );
}

function Answering({ served }: { readonly served: readonly Served[] }) {
  if (served.length === 0) return <Mark kind="quiet">not served here</Mark>;
  return (
    <ul class="plain">
      {served.map(({ variant, ready, version, rejected }) => (
        <li key={variant}>
          <Mark kind={ready ? (rejected === undefined ? 'good' : 'warn') : 'bad'}>
            {variant}: {ready ? `version ${version} answers` : 'no version answers'}
            {rejected === undefined ? '' : `; a version was refused: ${rejected}`}
          </Mark>
        </li>
      ))}
    </ul>
  );
}

interface Done {
  readonly version: number;
  readonly action: string;
  readonly stage: string;
  readonly by: string;
  readonly reason: string;
  readonly atMs: number;
}

function Trail({ name }: { readonly name: string }) {
  const asked = useAsked<{ readonly trail: readonly Done[] }>(`/console/api/models/${name}/trail`);
  return (
    <Loaded asked={asked}>
      {({ trail }) =>
        trail.length === 0 ? null : (
          <Table
            caption={`What was done to ${name}, the newest first`}
            rows={trail}
            keyOf={({ atMs, version }) => `${atMs} ${version}`}
            columns={[
              { title: 'When', of: ({ atMs }) => timeOf(new Date(atMs).toISOString()) },
              { title: 'What', of: ({ action, version, stage }) => `${action} ${version} to ${stage}` },
              { title: 'By', of: ({ by }) => by },
              { title: 'Why', of: ({ reason }) => reason },
            ]}
          />
        )
      }
    </Loaded>
  );
}

const METRICS_SHOWN = 4;
const metricsOf = ({ metrics }: ModelVersion): string =>
  Object.entries(metrics)
    .slice(0, METRICS_SHOWN)
    .map(([name, value]) => `${name} ${number(value)}`)
    .join(', ');

function Versions({
  versions,
  onMove,
}: {
  readonly versions: readonly ModelVersion[];
  readonly onMove: (move: Move) => void;
}) {
  const may = useMay();
  const mayMove = ({ name }: ModelVersion): boolean => may('console:act', `promote:${name}`);
  const button = (version: ModelVersion, to: Stage, text: string) => (
    <button
      type="button"
      onClick={() => onMove({ version, to })}
      aria-label={`${text} ${version.name} ${version.version}`}
    >
      {text}
    </button>
  );
  return (
    <Table
      caption="Versions, the newest first"
      rows={[...versions].sort((a, b) => b.version - a.version)}
      keyOf={({ version }) => String(version)}
      columns={[
        {
          title: 'Version',
          of: ({ name, version }) => <a href={linkTo(['models', name, version])}>{version}</a>,
          isNumber: true,
        },
        { title: 'Stage', of: ({ stage, aliases }) => [stage, ...aliases.map((alias) => `@${alias}`)].join(' ') },
        { title: 'Made', of: ({ createdAtMs }) => timeOf(new Date(createdAtMs).toISOString()) },
        {
          title: 'Metrics',
          of: metricsOf,
        },
        { title: 'Description', of: ({ description }) => description },
        {
          title: 'Move',
          of: (version) =>
            !mayMove(version) ? (
              ''
            ) : (
              <>
                {version.stage === 'Production' ? null : button(version, 'Production', 'Promote')}{' '}
                {version.stage === 'Staging' || version.stage === 'Production'
                  ? null
                  : button(version, 'Staging', 'Stage')}{' '}
                {version.stage === 'Archived' || version.stage === 'None'
                  ? null
                  : button(version, 'Archived', 'Archive')}
              </>
            ),
        },
      ]}
    />
  );
}
