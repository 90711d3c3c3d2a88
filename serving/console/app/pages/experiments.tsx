import type { ExperimentResults } from '../../../experiments/results.ts';
import { useAsked } from '../api.ts';
import { Loaded, number, Table } from '../parts.tsx';

export function Experiments() {
  const served = useAsked<{ readonly models: readonly { readonly name: string }[] }>('/models');
  return (
    <Loaded asked={served}>
      {({ models }) => (
        <>
          {[...new Set(models.map(({ name }) => name))].map((name) => (
            <section key={name}>
              <h2>{name}</h2>
              <Result name={name} />
            </section>
          ))}
        </>
      )}
    </Loaded>
  );
}

function Result({ name }: { readonly name: string }) {
  const asked = useAsked<ExperimentResults>(`/models/${name}/results`);
  if (asked.error !== undefined && asked.data === undefined) return <p class="quiet">{asked.error.message}</p>;
  return (
    <Loaded asked={asked}>
      {({ experiment, outcome, winner, sampleRatio, variants }) => (
        <>
          <p>
            {winner === undefined ? 'No winner yet.' : <b class="good">{winner} is better.</b>}{' '}
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
