import type { Page, ViewDetails, ViewSummary } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Facts, Filter, Filters, Links, Loaded, Mark, number, Pager, span, Table } from '../../parts.tsx';
import { entityLink, linkTo, type Place } from '../../router.ts';
import { Consumers } from './consumers.tsx';
import { FeaturePage } from './feature.tsx';

const LIMIT = 50;

/** The catalogue: views, one view, or one of its features. */
export function Views({ parts: [view, feature], query }: Place) {
  if (view !== undefined && feature !== undefined) return <FeaturePage view={view} feature={feature} />;
  return view === undefined ? <List query={query} /> : <View id={view} />;
}

function List({ query }: Pick<Place, 'query'>) {
  const offset = Number(query.get('offset') ?? 0);
  const sent = new URLSearchParams({ text: query.get('text') ?? '', offset: String(offset), limit: String(LIMIT) });
  const asked = useAsked<Page<ViewSummary>>(`/console/api/views?${sent}`);
  return (
    <>
      <Filters>
        <Filter label="Name, owner, tag, source or description" />
      </Filters>
      <Loaded asked={asked}>
        {({ total, items }) => (
          <>
            <Table
              caption={`${number(total)} views; reads are rows that models have answered in a day`}
              rows={items}
              keyOf={({ view }) => view}
              empty="No view passes the filter."
              columns={[
                { title: 'View', of: ({ view }) => <a href={linkTo(['views', view])}>{view}</a> },
                { title: 'Entity', of: ({ entity }) => entity },
                { title: 'Features', of: ({ features }) => number(features), isNumber: true },
                {
                  title: 'Newest row',
                  of: ({ freshnessSeconds: age }) => (age === undefined ? '' : `${span(age)} ago`),
                  isNumber: true,
                },
                {
                  title: 'Models',
                  of: ({ models }) => <Links to={models.map((name) => [name, linkTo(['models', name])] as const)} />,
                },
                { title: 'Reads', of: ({ reads }) => number(reads), isNumber: true },
                { title: 'Owner', of: ({ owner }) => owner },
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

function View({ id }: { readonly id: string }) {
  const asked = useAsked<ViewDetails>(`/console/api/views/${encodeURIComponent(id)}`);
  return (
    <Loaded asked={asked}>
      {(of) => (
        <>
          <p>{of.description}</p>
          <Facts
            of={[
              ['Entity', `${of.entity} (${of.joinKeys.join(', ')})`],
              [
                'Sources',
                <Links
                  key="sources"
                  to={of.sources.map((name) => [name, linkTo(['sources'], { source: name })] as const)}
                />,
              ],
              [
                'Computed',
                of.mode === 'streaming'
                  ? 'at each event'
                  : of.mode === 'batch'
                    ? 'from history, in batch'
                    : 'elsewhere, and pushed',
              ],
              ['Served for', span(of.ttlMs / 1_000)],
              [
                'Newest row',
                of.freshnessSeconds === undefined
                  ? 'none was written by this process'
                  : `${span(of.freshnessSeconds)} ago`,
              ],
              ['Owner', of.owner],
              ['Tags', of.tags.join(', ')],
              [
                'Versions',
                <Links key="versions" to={of.versions.map((each) => [each, linkTo(['views', each])] as const)} />,
              ],
              [
                'Services',
                <Links key="services" to={of.services.map((each) => [each, linkTo(['services', each])] as const)} />,
              ],
              [
                'Some entities',
                <Links
                  key="entities"
                  to={of.entities.map((key) => [key, entityLink(key)] as const)}
                  none="no row was written yet"
                />,
              ],
            ]}
          />
          <Consumers of={of.consumers} />
          <h2>Features</h2>
          <Table
            caption={`${of.items.length} features`}
            rows={of.items}
            keyOf={({ feature }) => feature}
            columns={[
              { title: 'Feature', of: ({ feature }) => <a href={linkTo(['views', id, feature])}>{feature}</a> },
              { title: 'Type', of: ({ type }) => type },
              { title: 'Formula', of: ({ formula }) => <code>{formula.slice(0, LONGEST)}</code> },
              { title: 'Description', of: ({ description }) => description },
            ]}
          />
          <Promises contract={of.contract} rules={of.rules} />
        </>
      )}
    </Loaded>
  );
}

const LONGEST = 120;

function Promises({ contract, rules }: Pick<ViewDetails, 'contract' | 'rules'>) {
  if (contract.length === 0 && rules.length === 0) return null;
  return (
    <>
      <h2>Contract and rules</h2>
      {contract.length === 0 ? null : (
        <Table
          caption="What its rows are to be like together"
          rows={contract}
          keyOf={({ term }) => term}
          columns={[
            { title: 'Term', of: ({ term }) => term },
            { title: 'Bound', of: ({ value }) => value },
            {
              title: 'State',
              of: ({ isBroken }) => <Mark kind={isBroken ? 'bad' : 'good'}>{isBroken ? 'broken' : 'kept'}</Mark>,
            },
          ]}
        />
      )}
      {rules.length === 0 ? null : (
        <Table
          caption="What each row is to be like"
          rows={rules}
          keyOf={({ name }) => name}
          columns={[
            { title: 'Rule', of: ({ name }) => name },
            { title: 'What', of: ({ description }) => description },
            { title: 'Rows that break it', of: ({ action }) => action },
          ]}
        />
      )}
    </>
  );
}
