import type { ExperimentResults } from '../../../../experiments/results.ts';
import type { Overview } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Empty, Loaded, Mark, number, Table } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';

/** Experiments of the models that are served: which variant is better, and how sure that is. */
export function Experiments({ query }: Place) {
  const asked = useAsked<Overview>('/console/api/overview');
  const wanted = query.get('model');
  return (
    <Loaded asked={asked}>
      {({ models }) => {
        const names = [...new Set(models.map(({ name }) => name))].filter((name) => wanted === null || name === wanted);
        if (names.length === 0) return <Empty>No model is served here.</Empty>;
        return names.map((name) => (
          <section key={name}>
            <h2>
              <a href={linkTo(['models', name])}>{name}</a>
            </h2>
            <Result name={name} />
          </section>
        ));
      }}
    </Loaded>
  );
}

function Result({ name }: { readonly name: string }) {
  const asked = useAsked<ExperimentResults>(`/models/${name}/results`);
  if (asked.error !== undefined && asked.data === undefined) return <Empty>{asked.error.message}</Empty>;
  return (
    <Loaded asked={asked}>
      {({ experiment, outcome, winner, sampleRatio, variants }) => (
        <>
          <p>
            {winner === undefined ? (
              <Mark kind="quiet">No winner yet</Mark>
            ) : (
              <Mark kind="good">{winner} is better</Mark>
            )}{' '}
            {sampleRatio?.mismatch === true ? (
              <span class="bad">Entities were not assigned as configured: the results are invalid.</span>
            ) : null}
          </p>
          <Table
            caption={`${experiment}, by ${outcome}, entities compared with the first variant; right however often one looks`}
            rows={variants}
            keyOf={({ variant }) => variant}
            columns={[
              { title: 'Variant', of: ({ variant }) => variant },
              { title: 'Entities', of: ({ entities }) => number(entities), isNumber: true },
              { title: 'Outcomes', of: ({ outcomes }) => number(outcomes), isNumber: true },
              { title: 'Mean', of: ({ mean }) => number(mean), isNumber: true },
              { title: 'Difference', of: ({ comparison }) => number(comparison?.difference), isNumber: true },
              { title: '95 %', of: ({ comparison }) => interval(comparison?.sequential.interval), isNumber: true },
              {
                title: 'Interval',
                of: ({ comparison }) => (
                  <Whisker
                    bounds={comparison?.sequential.interval}
                    at={comparison?.difference}
                    all={variants.flatMap((each) => each.comparison?.sequential.interval ?? [])}
                  />
                ),
              },
              { title: 'p-value', of: ({ comparison }) => number(comparison?.sequential.pValue), isNumber: true },
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

const interval = (bounds: readonly [number, number] | undefined): string =>
  bounds === undefined ? '' : `${number(bounds[0])} to ${number(bounds[1])}`;

const WIDTH = 160;

/** An interval on the scale of all, with 0 as a line: one that crosses it shows no difference yet. */
function Whisker({
  bounds,
  at,
  all,
}: {
  readonly bounds: readonly [number, number] | undefined;
  readonly at: number | undefined;
  readonly all: readonly number[];
}) {
  const known = all.filter(Number.isFinite);
  if (bounds === undefined || at === undefined || known.length === 0 || !bounds.every(Number.isFinite)) return null;
  const reach = Math.max(...known.map(Math.abs), Number.MIN_VALUE);
  const x = (value: number): number => WIDTH / 2 + (value / reach) * (WIDTH / 2 - 4);
  return (
    <svg
      class="whisker"
      viewBox={`0 0 ${WIDTH} 16`}
      role="img"
      aria-label={`difference from ${number(bounds[0])} to ${number(bounds[1])}`}
    >
      <line class="zero" x1={WIDTH / 2} x2={WIDTH / 2} y1="0" y2="16" />
      <line x1={x(bounds[0])} x2={x(bounds[1])} y1="8" y2="8" />
      <circle cx={x(at)} cy="8" r="3.5" />
    </svg>
  );
}
