import type { SourceDetails } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Empty, Facts, Links, Loaded, Table } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';

/** What events look like, and which views are computed of them. */
export function Sources({ query }: Place) {
  const asked = useAsked<{ readonly sources: readonly SourceDetails[] }>('/console/api/sources');
  const wanted = query.get('source');
  return (
    <Loaded asked={asked}>
      {({ sources }) => {
        const found = sources.filter(({ source }) => wanted === null || source === wanted);
        if (found.length === 0) return <Empty>There is no such source.</Empty>;
        return (
          <>
            {wanted === null ? null : (
              <p>
                <a href="#/sources">All sources</a>
              </p>
            )}
            {found.map(({ source, eventTypes, schemaVersion, fields, history, views }) => (
              <section key={source}>
                <h2>{source}</h2>
                <Facts
                  of={[
                    ['Event types', eventTypes.join(', ')],
                    ['Version of the schema', schemaVersion],
                    ['History', history],
                    ['Views', <Links key="views" to={views.map((view) => [view, linkTo(['views', view])] as const)} />],
                  ]}
                />
                <Table
                  caption={`Fields of ${source}`}
                  rows={fields}
                  keyOf={({ name }) => name}
                  columns={[
                    { title: 'Field', of: ({ name }) => name },
                    { title: 'Type', of: ({ type }) => type },
                  ]}
                />
              </section>
            ))}
          </>
        );
      }}
    </Loaded>
  );
}
