import type { ComponentChildren } from 'preact';
import type { Overview as Answer } from '../../answers.ts';
import type { FigureName, TimedFigures } from '../../figures.ts';
import { useAsked } from '../api.ts';
import {
  Choice,
  Empty,
  Filters,
  Loaded,
  Mark,
  number,
  percent,
  RANGES,
  Spark,
  span,
  Table,
  timeOf,
} from '../parts.tsx';
import { linkTo, useQuery } from '../router.ts';

/** Whether all is right, what waits for the reader, and what was changed. */
export function Overview() {
  const asked = useAsked<Answer>('/console/api/overview');
  return (
    <Loaded asked={asked}>
      {(overview) => (
        <>
          <State of={overview} />
          <Figures now={overview.figures} />
          <AtWork models={overview.models} />
          <h2>Changed in the last day</h2>
          <Table
            caption="Changes, the newest first"
            rows={overview.changes}
            keyOf={({ at, what }) => `${at} ${what}`}
            empty="Nothing was changed: promotions, routing and runs of workflows are listed here."
            columns={[
              { title: 'When', of: ({ at }) => timeOf(at) },
              {
                title: 'Of',
                of: ({ kind, of }) => <a href={kind === 'run' ? linkTo(['runs']) : linkTo(['models', of])}>{of}</a>,
              },
              { title: 'What', of: ({ what }) => what },
              { title: 'By', of: ({ by }) => by },
              { title: 'Why', of: ({ reason }) => reason },
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

interface Waiting {
  readonly kind: 'bad' | 'warn';
  readonly text: string;
  readonly link: string;
}

const OF_DRIFT: ReadonlySet<string> = new Set(['InputsDrifted', 'PredictionsDrifted']);

function waitingIn({ parts, alerts, models, approvals, drifted, letters }: Answer): readonly Waiting[] {
  const list: Waiting[] = [];
  for (const { name, status, reason } of parts) {
    if (status === 'up' || status === 'starting') continue;
    list.push({
      kind: status === 'down' ? 'bad' : 'warn',
      text: `${name} is ${status}${reason === undefined ? '' : `: ${reason}`}`,
      link: '#/alerts',
    });
  }
  for (const { name, severity, summary, state } of alerts ?? []) {
    // What has drifted is named below, with its columns.
    if (state !== 'firing' || (drifted.length > 0 && OF_DRIFT.has(name))) continue;
    list.push({ kind: severity === 'critical' ? 'bad' : 'warn', text: `${name}: ${summary}`, link: '#/alerts' });
  }
  if (alerts === undefined)
    list.push({ kind: 'warn', text: 'Prometheus does not answer: alerts are not known', link: '#/alerts' });
  for (const { name, variant, version, rejected } of models)
    if (rejected !== undefined)
      list.push({
        kind: version === undefined ? 'bad' : 'warn',
        text: `${name} (${variant}) refused a version: ${rejected}`,
        link: linkTo(['models', name]),
      });
  for (const { run, workflow, state } of approvals)
    list.push({ kind: 'warn', text: `${workflow} waits for an approval at ${state} (${run})`, link: '#/approvals' });
  for (const { model, version, columns } of drifted)
    list.push({
      kind: 'warn',
      text: `${model} ${version} has drifted: ${columns.slice(0, 4).join(', ')}${columns.length > 4 ? ` and ${columns.length - 4} more` : ''}`,
      link: linkTo(['drift'], { model }),
    });
  if (letters > 0)
    list.push({
      kind: 'warn',
      text: `${number(letters)} dead letters of the last day were not replayed`,
      link: '#/dead-letters',
    });
  return list;
}

function State({ of }: { readonly of: Answer }) {
  const waiting = waitingIn(of);
  const isBad = waiting.some(({ kind }) => kind === 'bad');
  return (
    <section
      class={`state ${waiting.length === 0 ? 'good' : isBad ? 'bad' : 'warn'}`}
      aria-label="State of the platform"
    >
      <h2>
        {waiting.length === 0 ? (
          <Mark kind="good">All is well</Mark>
        ) : (
          <Mark kind={isBad ? 'bad' : 'warn'}>
            {waiting.length === 1 ? 'One thing waits for you' : `${waiting.length} things wait for you`}
          </Mark>
        )}
      </h2>
      {waiting.length === 0 ? (
        <p class="quiet">
          {of.parts.length} dependencies and jobs are up, no alert fires, and nothing waits for an answer.
        </p>
      ) : (
        <ul>
          {waiting.map(({ kind, text, link }) => (
            <li key={text}>
              <Mark kind={kind}>
                <a href={link}>{text}</a>
              </Mark>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Beyond these a figure is worth a look. */
const TILES: readonly {
  readonly name: FigureName;
  readonly title: string;
  readonly link: string;
  readonly show: (value: number | null | undefined) => string;
  readonly most?: number;
}[] = [
  { name: 'events', title: 'Events a second', link: '#/pipelines', show: number },
  { name: 'freshness', title: 'Event to feature, p95', link: '#/pipelines', show: span, most: 1 },
  { name: 'failedShare', title: 'Events refused', link: '#/dead-letters', show: percent, most: 0.01 },
  { name: 'lateShare', title: 'Events late', link: '#/pipelines', show: percent },
  { name: 'waiting', title: 'Records waiting', link: '#/topics', show: number, most: 10_000 },
  { name: 'predictions', title: 'Predictions a second', link: '#/predictions', show: number },
  { name: 'latency', title: 'Prediction, p95', link: '#/models', show: span, most: 0.1 },
  { name: 'errorShare', title: 'Requests failed', link: '#/alerts', show: percent, most: 0.001 },
];

function Figures({ now }: { readonly now: Answer['figures'] | undefined }) {
  const [hours] = useQuery('hours', '1');
  const history = useAsked<{ readonly points: readonly TimedFigures[] }>(
    `/console/api/figures?hours=${hours}&points=60`,
  );
  const points = history.data?.points ?? [];
  return (
    <>
      <div class="beside">
        <h2>Now</h2>
        <Filters>
          <Choice label="Lines show" name="hours" usual="1" of={RANGES} />
        </Filters>
      </div>
      <ul class="figures">
        {TILES.map(({ name, title, link, show, most }) => {
          const value = now?.[name];
          const isMuch = most !== undefined && typeof value === 'number' && value > most;
          return (
            <li key={name}>
              <a href={link}>{title}</a>
              <b class={isMuch ? 'warn' : ''}>
                {value === null || value === undefined ? <span class="quiet">none</span> : show(value)}
              </b>
              <Spark values={points.map(({ figures }) => figures[name] ?? null)} label={`${title} over time`} />
            </li>
          );
        })}
      </ul>
      {now === undefined ? <Measured /> : null}
    </>
  );
}

const Measured = (): ComponentChildren => (
  <Empty>Figures are measured each quarter of a minute: the first are on their way.</Empty>
);

function AtWork({ models }: Pick<Answer, 'models'>) {
  return (
    <>
      <h2>Models at work</h2>
      <Table
        caption="Versions that answer, by variant"
        rows={models}
        keyOf={({ name, variant }) => `${name} ${variant}`}
        empty="No model is served: promote a version of one to Production."
        columns={[
          { title: 'Model', of: ({ name }) => <a href={linkTo(['models', name])}>{name}</a> },
          { title: 'Variant', of: ({ variant }) => variant },
          {
            title: 'Version',
            of: ({ name, version }) =>
              version === undefined ? '' : <a href={linkTo(['models', name, version])}>{version}</a>,
            isNumber: true,
          },
          {
            title: 'State',
            of: ({ ready, rejected }) =>
              ready ? (
                <Mark kind={rejected === undefined ? 'good' : 'warn'}>
                  {rejected === undefined ? 'answers' : `answers; a newer one was refused: ${rejected}`}
                </Mark>
              ) : rejected === undefined ? (
                <Mark kind="quiet">no version is promoted</Mark>
              ) : (
                <Mark kind="bad">{rejected}</Mark>
              ),
          },
          { title: 'Predictions in a day', of: ({ predictions }) => number(predictions), isNumber: true },
        ]}
      />
    </>
  );
}
