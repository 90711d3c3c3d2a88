import type { FeatureWindow } from '../answers.ts';
import { number, percent } from './parts.tsx';

const WIDTH = 560;
const HEIGHT = 150;
const FLOOR = HEIGHT - 22;

/**
 * How the values of a window are distributed. Of numbers, each bar holds as many values as every other and is as high as they are dense: quantiles are
 * what is kept of a window. Of other values, the most frequent ones.
 */
export function Histogram({ window, name }: { readonly window: FeatureWindow; readonly name: string }) {
  if (window.top.length > 0) return <Frequent of={window.top} name={name} />;
  const bars = barsOf(window.quantiles);
  const [least, most] = [window.quantiles[0] ?? 0, window.quantiles.at(-1) ?? 0];
  if (window.quantiles.length < 2) return <p class="empty">No values in this window.</p>;
  if (most === least) {
    return (
      <p>
        Every value is <b>{number(least)}</b>.
      </p>
    );
  }
  const highest = Math.max(...bars.map(({ density }) => density));
  const x = (value: number): number => ((value - least) / (most - least)) * WIDTH;
  return (
    <svg
      class="histogram"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Histogram of ${name}, from ${number(least)} to ${number(most)}`}
    >
      {bars.map(({ from, to, density }) => (
        <rect
          key={from}
          x={x(from)}
          width={Math.max(1, x(to) - x(from) - 1)}
          y={FLOOR - (density / highest) * (FLOOR - 4)}
          height={(density / highest) * (FLOOR - 4)}
        />
      ))}
      <line x1="0" x2={WIDTH} y1={FLOOR} y2={FLOOR} />
      {[0, 0.5, 1].map((share) => (
        <text
          key={share}
          x={share * WIDTH}
          y={HEIGHT - 5}
          text-anchor={share === 0 ? 'start' : share === 1 ? 'end' : 'middle'}
        >
          {number(least + share * (most - least))}
        </text>
      ))}
    </svg>
  );
}

/** Parts with equally many values; those of no width, where one value is frequent, are joined with the next. */
function barsOf(
  quantiles: readonly number[],
): readonly { readonly from: number; readonly to: number; readonly density: number }[] {
  const bars: { from: number; to: number; density: number }[] = [];
  const whole = (quantiles.at(-1) ?? 0) - (quantiles[0] ?? 0);
  // No bar is narrower than can be seen.
  const narrowest = whole / 60;
  let from = quantiles[0] ?? 0;
  let held = 0;
  for (const [index, to] of quantiles.slice(1).entries()) {
    held += 1;
    if (to - from < narrowest && index < quantiles.length - 2) continue;
    bars.push({ from, to, density: held / Math.max(to - from, narrowest) });
    from = to;
    held = 0;
  }
  return bars;
}

function Frequent({ of, name }: { readonly of: FeatureWindow['top']; readonly name: string }) {
  const most = Math.max(...of.map(([, share]) => share));
  return (
    <ul class="frequent" aria-label={`Most frequent values of ${name}`}>
      {of.map(([value, share]) => (
        <li key={value}>
          <span>{value}</span>
          <meter min={0} max={most} value={share} aria-label={`share of ${value}`} />
          <span class="number">{percent(share)}</span>
        </li>
      ))}
    </ul>
  );
}
