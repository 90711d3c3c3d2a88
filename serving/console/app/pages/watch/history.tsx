import { useMemo } from 'preact/hooks';
import type { FigureName, TimedFigures } from '../../../figures.ts';
import { useAsked } from '../../api.ts';
import type { ChartProps } from '../../charts.tsx';
import { lazy } from '../../lazy.tsx';
import { Choice, Empty, Filters, Loaded, number, percent, RANGES, span } from '../../parts.tsx';
import { useQuery } from '../../router.ts';

const TimeChart = lazy<ChartProps>(async () => (await import('../../charts.tsx')).TimeChart);

const CHARTS: readonly {
  readonly title: string;
  readonly format: (value: number) => string;
  readonly lines: readonly (readonly [name: FigureName, text: string])[];
}[] = [
  {
    title: 'Events and predictions a second',
    format: number,
    lines: [
      ['events', 'events'],
      ['predictions', 'predictions'],
    ],
  },
  {
    title: 'From an event to its features, and predictions, p95',
    format: span,
    lines: [
      ['freshness', 'event to feature'],
      ['latency', 'prediction'],
    ],
  },
  {
    title: 'Shares',
    format: percent,
    lines: [
      ['failedShare', 'events refused'],
      ['lateShare', 'events late'],
      ['errorShare', 'requests failed'],
    ],
  },
  { title: 'Records waiting', format: number, lines: [['waiting', 'records']] },
];

/** The figures of the overview over up to three days. */
export function History() {
  const [hours] = useQuery('hours', '6');
  const asked = useAsked<{ readonly points: readonly TimedFigures[] }>(
    `/console/api/figures?hours=${hours}&points=300`,
  );
  return (
    <>
      <Filters>
        <Choice label="Time" name="hours" usual="6" of={RANGES} />
      </Filters>
      <Loaded asked={asked}>
        {({ points }) =>
          points.length < 2 ? (
            <Empty>Figures are measured each quarter of a minute and kept for three days: come back in a minute.</Empty>
          ) : (
            <div class="charts">
              {CHARTS.map((chart) => (
                <Chart key={chart.title} {...chart} points={points} />
              ))}
            </div>
          )
        }
      </Loaded>
    </>
  );
}

function Chart({
  title,
  format,
  lines,
  points,
}: (typeof CHARTS)[number] & { readonly points: readonly TimedFigures[] }) {
  const times = useMemo(() => points.map(({ atMs }) => atMs / 1_000), [points]);
  const series = useMemo(
    () => lines.map(([name, text]) => ({ name: text, values: points.map(({ figures }) => figures[name] ?? null) })),
    [points],
  );
  return (
    <section>
      <h2>{title}</h2>
      <TimeChart label={title} times={times} series={series} format={format} />
    </section>
  );
}
