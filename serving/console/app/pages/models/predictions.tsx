import type { PredictionSummary } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Filter, Filters, Loaded, number, Table, timeOf } from '../../parts.tsx';
import { entityLink, linkTo, type Place } from '../../router.ts';
import { predictionLink } from './why_prediction.tsx';

const LIMIT = 50;

/** The log of predictions, the newest first. */
export function Predictions({ query }: Place) {
  const sent = new URLSearchParams({ limit: String(LIMIT) });
  for (const name of ['model', 'until']) {
    const value = query.get(name);
    if (value !== null) sent.set(name, value);
  }
  const asked = useAsked<{ readonly predictions: readonly PredictionSummary[] }>(`/console/api/predictions?${sent}`);
  return (
    <>
      <Filters>
        <Filter label="Model" name="model" />
      </Filters>
      <Loaded asked={asked}>
        {({ predictions }) => {
          const last = predictions.at(-1);
          return (
            <>
              <PredictionTable
                of={predictions}
                empty="No prediction is in the log: it is a moment behind the answers."
              />
              <nav class="pager" aria-label="Pages of the list">
                {query.has('until') ? (
                  <a href={linkTo(['predictions'], { model: query.get('model') ?? '' })}>Newest</a>
                ) : (
                  <span class="quiet">Newest</span>
                )}
                {last === undefined || predictions.length < LIMIT ? (
                  <span class="quiet">Older</span>
                ) : (
                  <a href={linkTo(['predictions'], { model: query.get('model') ?? '', until: last.at })}>Older</a>
                )}
              </nav>
            </>
          );
        }}
      </Loaded>
    </>
  );
}

export function PredictionTable({ of, empty }: { readonly of: readonly PredictionSummary[]; readonly empty: string }) {
  return (
    <Table
      caption="Predictions, the newest first; each is explained on its page"
      rows={of}
      keyOf={({ id, row }) => `${id} ${row}`}
      empty={empty}
      columns={[
        { title: 'Time', of: ({ at }) => timeOf(at) },
        {
          title: 'Prediction',
          of: ({ id, row, prediction }) => <a href={predictionLink(id, row)}>{`why ${prediction}`}</a>,
        },
        { title: 'Score', of: ({ score }) => number(score), isNumber: true },
        {
          title: 'Model',
          of: ({ model, version }) => <a href={linkTo(['models', model, version])}>{`${model} ${version}`}</a>,
        },
        { title: 'Variant', of: ({ variant }) => variant ?? '' },
        {
          title: 'Entity',
          of: ({ entity }) => (entity === undefined ? '' : <a href={entityLink(entity)}>{entity}</a>),
        },
      ]}
    />
  );
}
