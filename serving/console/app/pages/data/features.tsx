import type { Page } from '../../../answers.ts';
import type { FeatureStatus } from '../../../sources.ts';
import { useAsked } from '../../api.ts';
import { Filter, Filters, Loaded, number, Pager, percent, Spark, span, Table } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';

const LIMIT = 50;

/** Every feature with its newest window, paged by the server. */
export function Features({ query }: Place) {
  const offset = Number(query.get('offset') ?? 0);
  const sent = new URLSearchParams({ text: query.get('text') ?? '', offset: String(offset), limit: String(LIMIT) });
  const asked = useAsked<Page<FeatureStatus>>(`/console/api/features?${sent}`);
  return (
    <>
      <Filters>
        <Filter label="Name, view, owner, tag or description" />
      </Filters>
      <Loaded asked={asked}>
        {({ total, items }) => (
          <>
            <Table
              caption={`${number(total)} features; distributions of the newest window`}
              rows={items}
              keyOf={({ view, feature }) => `${view} ${feature}`}
              empty="No feature passes the filter."
              columns={[
                {
                  title: 'Feature',
                  of: ({ view, feature }) => <a href={linkTo(['views', view, feature])}>{feature}</a>,
                },
                { title: 'View', of: ({ view }) => <a href={linkTo(['views', view])}>{view}</a> },
                { title: 'Type', of: ({ type }) => type },
                {
                  title: 'Newest row',
                  of: ({ freshnessSeconds: age }) => (age === undefined ? '' : `${span(age)} ago`),
                  isNumber: true,
                },
                { title: 'Rows', of: ({ window }) => number(window?.rows), isNumber: true },
                { title: 'Missing', of: ({ window }) => percent(window?.nullShare), isNumber: true },
                { title: 'Mean', of: ({ window }) => number(window?.mean), isNumber: true },
                {
                  title: 'Quantiles',
                  of: ({ feature, window }) => (
                    <Spark
                      values={window?.quantiles ?? []}
                      label={`quantiles of ${feature}, the smallest to the largest`}
                    />
                  ),
                },
                { title: 'Description', of: ({ description }) => description },
              ]}
            />
            <Pager total={total} offset={offset} limit={LIMIT} />
          </>
        )}
      </Loaded>
    </>
  );
}
