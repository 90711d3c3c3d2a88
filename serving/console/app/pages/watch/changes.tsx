import type { Change, Page } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Choice, Filter, Filters, Loaded, Pager, Table, timeOf } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';

const LIMIT = 50;
const KINDS = [
  ['', 'all'],
  ['model', 'versions of models'],
  ['routing', 'routing'],
  ['run', 'runs of workflows'],
] as const;

/** Who changed what, and why: the newest first. */
export function Changes({ query }: Place) {
  const sent = new URLSearchParams({ limit: String(LIMIT) });
  for (const name of ['text', 'kind', 'offset']) {
    const value = query.get(name);
    if (value !== null) sent.set(name, value);
  }
  const asked = useAsked<Page<Change>>(`/console/api/changes?${sent}`);
  return (
    <>
      <Filters>
        <Filter label="Contains" />
        <Choice label="Kind" name="kind" usual="" of={KINDS} />
      </Filters>
      <Loaded asked={asked}>
        {({ total, items }) => (
          <>
            <Table
              caption="Changes, the newest first; headwater audit verify checks that none was altered"
              rows={items}
              keyOf={({ at, what, of }) => `${at} ${of} ${what}`}
              empty="No change passes the filter."
              columns={[
                { title: 'When', of: ({ at }) => timeOf(at) },
                {
                  title: 'Of',
                  of: ({ kind, of }) => (
                    <a href={kind === 'run' ? linkTo(['runs'], { text: of }) : linkTo(['models', of])}>{of}</a>
                  ),
                },
                { title: 'What', of: ({ what }) => what },
                { title: 'By', of: ({ by }) => by },
                { title: 'Why', of: ({ reason }) => reason },
              ]}
            />
            <Pager total={total} offset={Number(query.get('offset') ?? 0)} limit={LIMIT} />
          </>
        )}
      </Loaded>
    </>
  );
}
