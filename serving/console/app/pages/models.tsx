import { useState } from 'preact/hooks';
import type { ModelVersion } from '#registry/model_registry';
import { ask, useAsked } from '../api.ts';
import { Confirm, Loaded, number, Table } from '../parts.tsx';

type Stage = 'Production' | 'Staging' | 'Archived';
interface Served {
  readonly name: string;
  readonly variant: string;
  readonly ready: boolean;
  readonly version?: number;
  readonly rejected?: { readonly version: number; readonly reason: string };
}
interface Move {
  readonly version: ModelVersion;
  readonly to: Stage;
}

export function Models() {
  const versions = useAsked<{ readonly versions: readonly ModelVersion[] }>('/console/api/versions');
  const served = useAsked<{ readonly models: readonly Served[] }>('/models');
  const [move, setMove] = useState<Move>();
  return (
    <>
      <Loaded asked={versions}>
        {({ versions: all }) => (
          <>
            {[...new Set(all.map(({ name }) => name))].map((name) => (
              <section key={name} aria-labelledby={`model-${name}`}>
                <h2 id={`model-${name}`}>{name}</h2>
                <Answering served={served.data?.models.filter((each) => each.name === name) ?? []} />
                <Versions versions={all.filter((each) => each.name === name)} onMove={setMove} />
                <Trail name={name} />
                {served.data?.models.some((each) => each.name === name) ? (
                  <Traffic name={name} onChange={served.refresh} />
                ) : null}
              </section>
            ))}
          </>
        )}
      </Loaded>
      {move === undefined ? null : (
        <Confirm
          title={`${move.version.name} ${move.version.version} to ${move.to}`}
          action={move.to === 'Archived' ? 'Archive' : 'Promote'}
          onClose={() => {
            setMove(undefined);
            versions.refresh();
          }}
          onConfirm={async (reason) => {
            const { name, version } = move.version;
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
  if (served.length === 0) return <p class="quiet">It is not served here.</p>;
  return (
    <ul>
      {served.map(({ variant, ready, version, rejected }) => (
        <li key={variant}>
          {variant}:{' '}
          <span class={ready ? 'good' : 'bad'}>{ready ? `version ${version} answers` : 'no version answers'}</span>
          {rejected === undefined ? (
            ''
          ) : (
            <span class="bad">
              {' '}
              (version {rejected.version} was refused: {rejected.reason})
            </span>
          )}
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
              { title: 'When', of: ({ atMs }) => new Date(atMs).toLocaleString() },
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

function Versions({
  versions,
  onMove,
}: {
  readonly versions: readonly ModelVersion[];
  readonly onMove: (move: Move) => void;
}) {
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
        { title: 'Version', of: ({ version }) => version, isNumber: true },
        { title: 'Stage', of: ({ stage, aliases }) => [stage, ...aliases.map((alias) => `@${alias}`)].join(' ') },
        { title: 'Made', of: ({ createdAtMs }) => new Date(createdAtMs).toLocaleString() },
        {
          title: 'Metrics',
          of: ({ metrics }) =>
            Object.entries(metrics)
              .slice(0, METRICS_SHOWN)
              .map(([name, value]) => `${name} ${number(value)}`)
              .join(', '),
        },
        { title: 'Description', of: ({ description }) => description },
        {
          title: 'Move',
          of: (version) => (
            <>
              {version.stage === 'Production' ? null : button(version, 'Production', 'Promote')}{' '}
              {version.stage === 'Staging' || version.stage === 'Production'
                ? null
                : button(version, 'Staging', 'Stage')}{' '}
              {version.stage === 'Archived' || version.stage === 'None' ? null : button(version, 'Archived', 'Archive')}
            </>
          ),
        },
      ]}
    />
  );
}

interface Routing {
  readonly revision: number;
  readonly routing?: { readonly experiment?: Experiment } | null;
}
interface History {
  readonly changes: readonly { readonly revision: number; readonly by: string; readonly reason: string }[];
}
interface Experiment {
  readonly name: string;
  readonly variants: readonly { readonly name: string; readonly weight: number }[];
}

/** How many of the entities the version in Staging answers. */
function Traffic({ name, onChange }: { readonly name: string; readonly onChange: () => void }) {
  const asked = useAsked<Routing>(`/models/${name}/routing`);
  const [share, setShare] = useState(10);
  const [change, setChange] = useState<{ readonly title: string; readonly routing: object | null }>();
  const history = useAsked<History>(`/models/${name}/routing/history?limit=1`);
  const newest = history.data?.changes[0];
  const experiment = asked.data?.routing?.experiment;
  const split = {
    experiment: {
      name: 'console-split',
      variants: [
        { name: 'control', weight: 100 - share },
        { name: 'challenger', weight: share, follow: { stage: 'Staging' } },
      ],
    },
  };
  return (
    <>
      <h3>Traffic</h3>
      <Loaded asked={asked}>
        {() => (
          <p>
            {experiment === undefined
              ? 'Production answers all of it, or what the configuration says.'
              : `${experiment.name}: ${experiment.variants.map((each) => `${each.name} ${each.weight}`).join(', ')}`}{' '}
            <span class="quiet">
              {newest === undefined ? '' : `change ${newest.revision}, by ${newest.by}: ${newest.reason}`}
            </span>
          </p>
        )}
      </Loaded>
      <form
        class="line"
        onSubmit={(event) => {
          event.preventDefault();
          setChange({ title: `${share} % of ${name} to the version in Staging`, routing: split });
        }}
      >
        <label>
          Percent for Staging
          <input
            type="number"
            min={1}
            max={99}
            value={share}
            onInput={(event) => setShare(Number(event.currentTarget.value))}
          />
        </label>
        <button type="submit">Split {name}</button>
        <button type="button" onClick={() => setChange({ title: `${name} as configured`, routing: null })}>
          Undo {name}
        </button>
      </form>
      {change === undefined ? null : (
        <Confirm
          title={change.title}
          action="Change"
          onClose={() => {
            setChange(undefined);
            asked.refresh();
            history.refresh();
            onChange();
          }}
          onConfirm={async (reason) => {
            await ask(`/models/${name}/routing`, { method: 'PUT', body: { routing: change.routing, reason } });
            return 'It is so; all processes follow within a second.';
          }}
        />
      )}
    </>
  );
}
