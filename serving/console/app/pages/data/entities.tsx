import { useMemo, useState } from 'preact/hooks';
import type { EntityDetails, ValueHistory } from '../../../answers.ts';
import { ask, useAsked, useAskedOnce, useMay } from '../../api.ts';
import type { ChartProps } from '../../charts.tsx';
import { lazy } from '../../lazy.tsx';
import { Choice, Confirm, Empty, Filters, Loaded, number, shown, span, Table, timeOf } from '../../parts.tsx';
import { linkTo, type Place, useQuery } from '../../router.ts';
import { PredictionTable } from '../models/predictions.tsx';

const TimeChart = lazy<ChartProps>(async () => (await import('../../charts.tsx')).TimeChart);

/** Looks an entity up: its values now and over time, and what was predicted of it. */
export function Entities({ query }: Place) {
  const asked = useAskedOnce<{ readonly entities: readonly string[] }>('/console/api/entities');
  const id = query.get('id');
  return (
    <Loaded asked={asked}>
      {({ entities }) => {
        const entity = query.get('entity') ?? entities[0] ?? '';
        const find = (event: SubmitEvent): void => {
          event.preventDefault();
          const form = new FormData(event.currentTarget as HTMLFormElement);
          location.hash = linkTo(['entities'], {
            entity: String(form.get('entity')),
            id: String(form.get('id')).trim(),
          });
        };
        return (
          <>
            <form class="line" onSubmit={find} key={`${entity} ${id}`}>
              <label>
                Entity
                <select name="entity" value={entity}>
                  {entities.map((each) => (
                    <option key={each} value={each} selected={each === entity}>
                      {each}
                    </option>
                  ))}
                </select>
              </label>
              <label>
                Id
                <input name="id" required defaultValue={id ?? ''} autocomplete="off" />
              </label>
              <button type="submit" class="primary">
                Look up
              </button>
            </form>
            {id === null ? (
              <Empty>
                Name an id: its features, their history and its predictions are shown here. Pages of views name some
                that have rows.
              </Empty>
            ) : (
              <Details entity={entity} id={id} />
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function Details({ entity, id }: { readonly entity: string; readonly id: string }) {
  const asked = useAsked<EntityDetails>(
    `/console/api/entities/${encodeURIComponent(entity)}/${encodeURIComponent(id)}`,
  );
  const [feature] = useQuery('feature');
  const may = useMay();
  const [isErasing, setErasing] = useState(false);
  return (
    <Loaded asked={asked}>
      {({ key, views, predictions }) => (
        <>
          <div class="beside">
            <h2>{key}</h2>
            {may('console:erase') ? (
              <button type="button" class="danger" onClick={() => setErasing(true)}>
                Erase {key}
              </button>
            ) : null}
          </div>
          {views.length === 0 ? (
            <Empty>No view has a row of {key}: it has sent no event, its rows have expired, or it was erased.</Empty>
          ) : null}
          {feature === '' ? null : <OverTime entity={entity} id={id} of={feature} />}
          {views.map(({ view, eventTime, computedAt, values }) => (
            <Table
              key={view}
              caption={`${view}: event ${timeOf(eventTime)}, computed ${timeOf(computedAt)}`}
              rows={Object.entries(values)}
              keyOf={([name]) => name}
              columns={[
                { title: 'Feature', of: ([name]) => <a href={linkTo(['views', view, name])}>{name}</a> },
                { title: 'Value', of: ([, value]) => shown(value), isNumber: true },
                {
                  title: 'Look at',
                  of: ([name]) => (
                    <>
                      <a href={linkTo(['why'], { entity: id, feature: name, view })}>why</a>
                      {' · '}
                      <a href={linkTo(['entities'], { entity, id, feature: `${view}/${name}` })}>over time</a>
                    </>
                  ),
                },
              ]}
            />
          ))}
          <h2>Predictions</h2>
          <PredictionTable of={predictions} empty={`Nothing was predicted of ${key}.`} />
          {isErasing ? (
            <Erase entity={entity} id={id} onClose={() => setErasing(false)} onDone={asked.refresh} />
          ) : null}
        </>
      )}
    </Loaded>
  );
}

const DAYS = [
  ['0.04', 'last hour'],
  ['1', 'last day'],
  ['7', 'last 7 days'],
  ['30', 'last 30 days'],
] as const;

function OverTime({ entity, id, of }: { readonly entity: string; readonly id: string; readonly of: string }) {
  const [view = '', feature = ''] = of.split('/');
  const [days] = useQuery('days', '1');
  const path = `/console/api/entities/${encodeURIComponent(entity)}/${encodeURIComponent(id)}/history`;
  const asked = useAskedOnce<ValueHistory>(`${path}?${new URLSearchParams({ view, feature, days })}`);
  return (
    <section>
      <div class="beside">
        <h3>{feature} over time</h3>
        <Filters>
          <Choice label="Time" name="days" usual="1" of={DAYS} />
        </Filters>
      </div>
      <Loaded asked={asked}>{({ points }) => <Values feature={feature} points={points} />}</Loaded>
    </section>
  );
}

function Values({ feature, points }: { readonly feature: string; readonly points: ValueHistory['points'] }) {
  const times = useMemo(() => points.map(({ at }) => Date.parse(at) / 1_000), [points]);
  const values = useMemo(
    () =>
      points.map(({ value }) =>
        typeof value === 'number' ? value : typeof value === 'boolean' ? Number(value) : null,
      ),
    [points],
  );
  const series = useMemo(() => [{ name: feature, values }], [values]);
  if (values.every((value) => value === null)) {
    const changes = points.filter(
      ({ value }, index) => value !== null && JSON.stringify(value) !== JSON.stringify(points[index - 1]?.value),
    );
    return (
      <Table
        caption="Values, each where it changed"
        rows={changes}
        keyOf={({ at }) => at}
        empty="It had no value in this time."
        columns={[
          { title: 'Time', of: ({ at }) => timeOf(at) },
          { title: 'Value', of: ({ value }) => shown(value) },
        ]}
      />
    );
  }
  return <TimeChart label={`${feature} over time`} times={times} series={series} format={number} />;
}

interface Outcome {
  readonly isApplied: boolean;
  readonly counts: Readonly<Record<string, number>>;
}

/** What cannot be undone is confirmed by the id itself. */
function Erase({
  entity,
  id,
  onClose,
  onDone,
}: {
  readonly entity: string;
  readonly id: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
}) {
  return (
    <Confirm
      title={`Erase ${entity}:${id}`}
      action="Erase for good"
      reasonLabel={`Type ${id} to confirm`}
      isDangerous
      onClose={() => {
        onClose();
        onDone();
      }}
      onConfirm={async (confirm) => {
        const began = performance.now();
        const { isApplied, counts } = await ask<Outcome>(
          `/console/api/entities/${encodeURIComponent(entity)}/${encodeURIComponent(id)}/erase`,
          { method: 'POST', body: { confirm } },
        );
        const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
        const took = span((performance.now() - began) / 1_000);
        return isApplied
          ? `${number(all)} rows and records are erased, in ${took}; the feature pipeline has forgotten it.`
          : `${number(all)} rows are erased. The feature pipeline has not read the erasure yet: erase again later, for topics and files.`;
      }}
    >
      <p>Rows, predictions, records in topics and files, and the state of the pipeline: this cannot be undone.</p>
    </Confirm>
  );
}
