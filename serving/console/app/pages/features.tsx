import { useMemo, useState } from 'preact/hooks';
import type { FeatureStatus } from '../../sources.ts';
import { useAsked } from '../api.ts';
import { Loaded, number, percent, Spark, span, Table } from '../parts.tsx';

export function Features() {
  const asked = useAsked<{ readonly features: readonly FeatureStatus[] }>('/console/api/features');
  return <Loaded asked={asked}>{({ features }) => <List features={features} />}</Loaded>;
}

function List({ features }: { readonly features: readonly FeatureStatus[] }) {
  const [filter, setFilter] = useState('');
  const shown = useMemo(() => {
    const wanted = filter.toLowerCase();
    return features.filter(({ view, feature, owner }) => `${view} ${feature} ${owner}`.toLowerCase().includes(wanted));
  }, [features, filter]);
  return (
    <>
      <form class="line" onSubmit={(event) => event.preventDefault()}>
        <label>
          Filter by view, feature or owner
          <input type="search" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
        </label>
      </form>
      <Table
        caption={`${shown.length} of ${features.length} features; distributions of the newest window`}
        rows={shown}
        keyOf={({ view, feature }) => `${view}.${feature}`}
        columns={[
          { title: 'View', of: ({ view }) => view },
          {
            title: 'Feature',
            of: ({ view, feature, description }) => (
              <a title={description} href={`#/why?${new URLSearchParams({ feature, view })}`}>
                {feature}
              </a>
            ),
          },
          { title: 'Type', of: ({ type }) => type },
          { title: 'Newest row', of: ({ freshnessSeconds }) => span(freshnessSeconds), isNumber: true },
          { title: 'Rows', of: ({ window }) => number(window?.rows), isNumber: true },
          {
            title: 'Missing',
            of: ({ window }) => (window === undefined ? '' : percent(window.nullShare)),
            isNumber: true,
          },
          { title: 'Mean', of: ({ window }) => number(window?.mean), isNumber: true },
          { title: 'Distribution', of: distribution },
        ]}
      />
    </>
  );
}

function distribution({ feature, window }: FeatureStatus) {
  if (window === undefined) return '';
  if (window.quantiles.length === 0) return window.top.map(([value, share]) => `${value} ${percent(share)}`).join(', ');
  const [least, middle, most] = [
    window.quantiles[0],
    window.quantiles[Math.floor(window.quantiles.length / 2)],
    window.quantiles.at(-1),
  ];
  const label = `${feature}: from ${number(least)} over ${number(middle)} to ${number(most)}`;
  return <Spark values={window.quantiles} label={label} />;
}
