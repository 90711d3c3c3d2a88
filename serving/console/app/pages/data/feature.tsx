import { useMemo } from 'preact/hooks';
import type { FeatureDetails } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import type { ChartProps } from '../../charts.tsx';
import { Histogram } from '../../histogram.tsx';
import { lazy } from '../../lazy.tsx';
import { Empty, Facts, Links, Loaded, Mark, number, percent, Table, timeOf } from '../../parts.tsx';
import { linkTo } from '../../router.ts';
import { Consumers } from './consumers.tsx';

const TimeChart = lazy<ChartProps>(async () => (await import('../../charts.tsx')).TimeChart);

/** How a feature is defined, how its values are distributed and drift, and who reads it. */
export function FeaturePage({ view, feature }: { readonly view: string; readonly feature: string }) {
  const asked = useAsked<FeatureDetails>(
    `/console/api/views/${encodeURIComponent(view)}/features/${encodeURIComponent(feature)}`,
  );
  return (
    <Loaded asked={asked}>
      {(of) => {
        const [newest] = of.windows;
        return (
          <>
            <p>{of.description}</p>
            <pre class="formula">{of.formula}</pre>
            <Facts
              of={[
                ['Type', of.type],
                [
                  'Of features',
                  of.inputs.length === 0 ? (
                    ''
                  ) : (
                    <Links key="inputs" to={of.inputs.map((name) => [name, linkTo(['views', view, name])] as const)} />
                  ),
                ],
                ['Of fields', of.fields.map((name) => (name === '*' ? 'the whole event' : name)).join(', ')],
                [
                  'Source',
                  <a key="source" href={linkTo(['sources'], { source: of.source })}>
                    {of.source}
                  </a>,
                ],
                ['Entity', of.entity],
                ['Owner', of.owner],
                [
                  'Services',
                  <Links key="services" to={of.services.map((each) => [each, linkTo(['services', each])] as const)} />,
                ],
              ]}
            />
            <h2>Distribution</h2>
            {newest === undefined ? (
              <Empty>No window of rows has ended yet: distributions are measured by windows of event time.</Empty>
            ) : (
              <>
                <p class="quiet">
                  Window of {timeOf(newest.start)}: {number(newest.rows)} rows, {percent(newest.nullShare)} missing
                  {newest.mean === null ? '' : `, mean ${number(newest.mean)}`}
                </p>
                <Histogram window={newest} name={feature} />
                {of.windows.length < 2 ? null : <OverTime windows={of.windows} />}
              </>
            )}
            <h2>Drift from training</h2>
            <Table
              caption="In the newest window of predictions of each version"
              rows={of.drift}
              keyOf={({ model, version }) => `${model} ${version}`}
              empty="No version that reads it has a window of predictions to compare with its training set."
              columns={[
                {
                  title: 'Model',
                  of: ({ model, version }) => <a href={linkTo(['models', model, version])}>{`${model} ${version}`}</a>,
                },
                { title: 'Stability index', of: ({ psi }) => number(psi), isNumber: true },
                {
                  title: 'State',
                  of: ({ drifted }) => (
                    <Mark kind={drifted ? 'warn' : 'good'}>{drifted ? 'drifted' : 'as in training'}</Mark>
                  ),
                },
              ]}
            />
            <Consumers of={of.consumers} />
          </>
        );
      }}
    </Loaded>
  );
}

const MEDIAN = 10;
const HIGH = 19;

function OverTime({ windows }: Pick<FeatureDetails, 'windows'>) {
  const oldestFirst = useMemo(() => [...windows].reverse(), [windows]);
  const times = useMemo(() => oldestFirst.map(({ start }) => Date.parse(start) / 1_000), [oldestFirst]);
  const values = useMemo(
    () => [
      { name: 'mean', values: oldestFirst.map(({ mean }) => mean) },
      { name: 'median', values: oldestFirst.map(({ quantiles }) => quantiles[MEDIAN] ?? null) },
      { name: '95 %', values: oldestFirst.map(({ quantiles }) => quantiles[HIGH] ?? null) },
    ],
    [oldestFirst],
  );
  const missing = useMemo(
    () => [{ name: 'missing', values: oldestFirst.map(({ nullShare }) => nullShare) }],
    [oldestFirst],
  );
  return (
    <div class="charts">
      {values.every((each) => each.values.every((value) => value === null)) ? null : (
        <section>
          <h3>Values by window</h3>
          <TimeChart label="Values by window" times={times} series={values} format={number} />
        </section>
      )}
      <section>
        <h3>Share that is missing</h3>
        <TimeChart label="Share that is missing, by window" times={times} series={missing} format={percent} />
      </section>
    </div>
  );
}
