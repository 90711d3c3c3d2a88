import { useState } from 'preact/hooks';
import type { Canary, CanaryProgress } from '../../../../routing/canary.ts';
import { ask, useAsked, useMay } from '../../api.ts';
import { Confirm, Facts, Loaded, Mark, number, Table, timeOf } from '../../parts.tsx';
import { linkTo } from '../../router.ts';

interface Routing {
  readonly revision: number;
  readonly routing?: { readonly experiment?: Experiment; readonly canary?: Canary } | null;
  readonly canary?: CanaryProgress & { readonly percent: number };
}
interface Experiment {
  readonly name: string;
  readonly variants: readonly { readonly name: string; readonly weight: number }[];
}
interface History {
  readonly changes: readonly {
    readonly revision: number;
    readonly by: string;
    readonly reason: string;
    readonly at: string;
  }[];
}
interface Change {
  readonly title: string;
  readonly action: string;
  readonly routing: object | null;
}

const CHANGES = 10;
const STATES = { running: 'warn', passed: 'good', rolled_back: 'bad' } as const;

/** How requests are split between versions: a canary with its guardrails, an experiment, or neither; and who changed it. */
export function Traffic({ name, onChange }: { readonly name: string; readonly onChange: () => void }) {
  const asked = useAsked<Routing>(`/models/${name}/routing`);
  const history = useAsked<History>(`/models/${name}/routing/history?limit=${CHANGES}`);
  const [change, setChange] = useState<Change>();
  const may = useMay();
  const mayRoute = may(`routing:${name}`);
  const newest = history.data?.changes[0];
  return (
    <section>
      <h2>Traffic</h2>
      <Loaded asked={asked}>
        {({ routing, canary }) => (
          <>
            {canary === undefined ? null : <CanaryState of={canary} settings={routing?.canary} />}
            <p>
              {routing?.experiment === undefined
                ? canary === undefined
                  ? 'Production answers all of it, or what the configuration says.'
                  : ''
                : `${routing.experiment.name}: ${routing.experiment.variants.map((each) => `${each.name} ${each.weight}`).join(', ')}`}{' '}
              <span class="quiet">
                {newest === undefined ? '' : `change ${newest.revision}, by ${newest.by}: ${newest.reason}`}
              </span>
              {routing?.experiment === undefined ? null : (
                <>
                  {' '}
                  <a href={linkTo(['experiments'], { model: name })}>Results</a>
                </>
              )}
            </p>
            {mayRoute ? <Actions name={name} isCanary={canary?.state === 'running'} onChange={setChange} /> : null}
          </>
        )}
      </Loaded>
      <Loaded asked={history}>
        {({ changes }) =>
          changes.length === 0 ? null : (
            <Table
              caption="Changes of routing, the newest first"
              rows={changes}
              keyOf={({ revision }) => String(revision)}
              columns={[
                { title: 'Change', of: ({ revision }) => revision, isNumber: true },
                { title: 'When', of: ({ at }) => timeOf(at) },
                { title: 'By', of: ({ by }) => by },
                { title: 'Why', of: ({ reason }) => reason },
              ]}
            />
          )
        }
      </Loaded>
      {change === undefined ? null : (
        <Confirm
          title={change.title}
          action={change.action}
          onClose={() => {
            setChange(undefined);
            asked.refresh();
            onChange();
          }}
          onConfirm={async (reason) => {
            await ask(`/models/${name}/routing`, { method: 'PUT', body: { routing: change.routing, reason } });
            return 'It is so; all processes follow within a second.';
          }}
        />
      )}
    </section>
  );
}

function CanaryState({
  of: { version, step, state, reason, percent },
  settings,
}: {
  readonly of: NonNullable<Routing['canary']>;
  readonly settings: Canary | undefined;
}) {
  return (
    <section class={`state ${STATES[state]}`} aria-label="Canary">
      <h3>
        <Mark kind={STATES[state]}>
          Canary of version {version}: {state.replace('_', ' ')}
        </Mark>
      </h3>
      <Facts
        of={[
          ['Entities that it answers', `${number(percent)} %`],
          [
            'Step',
            settings === undefined
              ? number(step + 1)
              : `${step + 1} of ${settings.steps.length} (${settings.steps.join(', ')} %)`,
          ],
          ['Rows a step', number(settings?.rowsAStep)],
          [
            'Guardrails',
            settings === undefined
              ? ''
              : Object.entries(settings.guardrails)
                  .map(([name, bound]) => `${name} ${JSON.stringify(bound)}`)
                  .join(', '),
          ],
          [
            'When it has passed',
            settings?.whenPassed === 'promote' ? 'it is promoted, through the gates' : 'it stays at the last step',
          ],
          ['Last', reason],
        ]}
      />
    </section>
  );
}

function Actions({
  name,
  isCanary,
  onChange,
}: {
  readonly name: string;
  readonly isCanary: boolean;
  readonly onChange: (change: Change) => void;
}) {
  const [share, setShare] = useState(10);
  if (isCanary) {
    return (
      <p>
        <button
          type="button"
          class="danger"
          onClick={() => onChange({ title: `Stop the canary of ${name}`, action: 'Stop it', routing: null })}
        >
          Stop the canary
        </button>
      </p>
    );
  }
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
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault();
        onChange({ title: `${share} % of ${name} to the version in Staging`, action: 'Change', routing: split });
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
      <button
        type="button"
        onClick={() =>
          onChange({
            title: `Try the version of ${name} in Staging as a canary`,
            action: 'Start it',
            routing: { canary: {} },
          })
        }
      >
        Start a canary
      </button>
      <button
        type="button"
        onClick={() => onChange({ title: `${name} as configured`, action: 'Change', routing: null })}
      >
        Undo {name}
      </button>
    </form>
  );
}
