import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';

export interface ChartProps {
  readonly label: string;
  /** Times, s since 1970. */
  readonly times: readonly number[];
  readonly series: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
  readonly format: (value: number) => string;
  readonly height?: number;
}

const HEIGHT = 180;
const COLOURS = ['--accent', '--warn', '--good', '--bad'];

/** Values over time, with a cursor that reads them. */
export function TimeChart({ label, times, series, format, height = HEIGHT }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const host = place.current;
    if (host === null) return;
    const style = getComputedStyle(host);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour('--quiet'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { stroke: colour('--line'), width: 1 },
      font: `12px ${style.fontFamily}`,
    };
    const chart = new uPlot(
      {
        ...{ width: host.clientWidth, height, cursor: { y: false } },
        scales: {
          y: { range: (_, least, most) => [Math.min(0, least ?? 0), (most ?? 0) <= 0 ? 1 : (most ?? 1) * 1.05] },
        },
        axes: [axis, { ...axis, size: 64, values: (_, values) => values.map((value) => format(value)) }],
        series: [
          { value: (_, time) => (time === null ? '' : new Date(time * 1_000).toLocaleString()) },
          ...series.map(({ name }, index) => ({
            label: name,
            stroke: colour(COLOURS[index % COLOURS.length] as string),
            width: 2,
            points: { show: times.length < 3 },
            value: (_: uPlot, value: number | null) => (value === null ? '' : format(value)),
          })),
        ],
      },
      [[...times], ...series.map(({ values }) => [...values])] as uPlot.AlignedData,
      host,
    );
    const watch = new ResizeObserver(() => chart.setSize({ width: host.clientWidth, height }));
    watch.observe(host);
    return () => {
      watch.disconnect();
      chart.destroy();
    };
  }, [times, series, matchMedia('(prefers-color-scheme: dark)').matches, document.documentElement.dataset.theme]);
  return <div ref={place} class="chart" role="img" aria-label={label} />;
}
