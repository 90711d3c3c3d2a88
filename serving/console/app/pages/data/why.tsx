import { useAskedOnce } from '../../api.ts';
import { Empty, Loaded, Mark, number, Table, timeOf } from '../../parts.tsx';
import type { Place } from '../../router.ts';
import { PredictionForm, WhyPrediction } from '../models/why_prediction.tsx';

interface Formula {
  readonly name: string;
  readonly formula: string;
  readonly value: unknown;
  readonly inputs: readonly Formula[];
}

interface ShownEvent {
  readonly event_id: string;
  readonly time: string;
  readonly arrived_at: string;
  readonly from: string;
  readonly place: string | null;
}

interface Explanation {
  readonly entity: string;
  readonly user_id: string;
  readonly view: string;
  readonly feature: string;
  readonly at: string;
  readonly owner: string;
  readonly definition: { readonly version: number; readonly fingerprint: string };
  readonly served: { readonly value: unknown; readonly event_time: string; readonly computed_at: string } | null;
  readonly recomputed: { readonly value: unknown } | null;
  readonly equal: boolean | null;
  readonly difference: string | null;
  readonly formula: Formula;
  readonly window: { readonly from: string; readonly until: string; readonly passed_over: number } | null;
  readonly events: {
    readonly total: number;
    readonly offset: number;
    readonly items: readonly (ShownEvent & { readonly contribution: unknown })[];
  };
  readonly uncounted: {
    readonly total: number;
    readonly items: readonly (ShownEvent & { readonly fate: string; readonly reason: string })[];
  };
  readonly refused: readonly { readonly event_id: string | null; readonly time: string; readonly reason: string }[];
  readonly used_by: {
    readonly models: readonly { readonly name: string; readonly version: number; readonly stage: string }[];
  };
}

const PAGE = 50;
const FIELDS = ['entity', 'feature', 'view', 'at'] as const;

/** Why a feature of an entity has its value: the address holds what is looked at. */
export function Why({ query: given }: Place) {
  const query = given.toString();
  const show = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const next = new URLSearchParams();
    for (const name of FIELDS) {
      const value = String(form.get(name) ?? '').trim();
      if (value !== '') next.set(name, value);
    }
    location.hash = `#/why?${next}`;
  };
  const [entity, feature, prediction] = [given.get('entity'), given.get('feature'), given.get('prediction')];
  return (
    <>
      <PredictionForm id={prediction} row={given.get('row')} key={`prediction ${query}`} />
      {prediction === null ? null : <WhyPrediction id={prediction} row={given.get('row') ?? '0'} />}
      <form class="line" onSubmit={show} key={query}>
        <label>
          Entity
          <input name="entity" required value={entity ?? ''} placeholder="id, such as a1" />
        </label>
        <label>
          Feature
          <input name="feature" required value={feature ?? ''} />
        </label>
        <label>
          View
          <input name="view" value={given.get('view') ?? ''} placeholder="newest version" />
        </label>
        <label>
          As of
          <input name="at" value={given.get('at') ?? ''} placeholder="now" />
        </label>
        <button type="submit" class="primary">
          Explain the value
        </button>
      </form>
      {prediction !== null ? null : entity === null || feature === null ? (
        <Empty>Name an entity and a feature, or a prediction: what is behind it is shown here.</Empty>
      ) : (
        <Answer query={query} entity={entity} feature={feature} />
      )}
    </>
  );
}

function Answer({
  query,
  entity,
  feature,
}: {
  readonly query: string;
  readonly entity: string;
  readonly feature: string;
}) {
  const given = new URLSearchParams(query);
  const sent = new URLSearchParams({ limit: String(PAGE) });
  for (const name of ['view', 'at', 'offset']) {
    const value = given.get(name);
    if (value !== null) sent.set(name, value);
  }
  const path = `/console/api/why/${encodeURIComponent(entity)}/${encodeURIComponent(feature)}?${sent}`;
  return (
    <Loaded asked={useAskedOnce<Explanation>(path)}>{(explanation) => <Shown of={explanation} query={query} />}</Loaded>
  );
}

const shown = (value: unknown): string => (typeof value === 'number' ? number(value) : JSON.stringify(value ?? null));

function Shown({ of, query }: { readonly of: Explanation; readonly query: string }) {
  const { served, recomputed, window, events, uncounted, refused, used_by: usedBy } = of;
  return (
    <section>
      <h2>
        {of.feature} of {of.entity} {of.user_id} is {shown((served ?? recomputed)?.value)}
      </h2>
      <p>
        {of.equal === null ? (
          <span class="quiet">rows of this view are pushed</span>
        ) : of.equal ? (
          <Mark kind="good">computed from its events again: equal</Mark>
        ) : (
          <Mark kind="bad">{of.difference}</Mark>
        )}
      </p>
      <p class="quiet">
        {of.view}, owner {of.owner}, fingerprint {of.definition.fingerprint}
        {served === null ? '' : `; row of ${timeOf(served.event_time)}, computed ${timeOf(served.computed_at)}`}
        {window === null ? '' : `; window from ${timeOf(window.from)} to ${timeOf(window.until)}`}
        {window === null || window.passed_over === 0
          ? ''
          : `, ${number(window.passed_over)} events do not pass its filter`}
      </p>
      <FormulaTree of={of.formula} />
      {usedBy.models.length === 0 ? null : (
        <p>Used by {usedBy.models.map(({ name, version, stage }) => `${name} ${version} (${stage})`).join(', ')}</p>
      )}
      <Table
        caption={`${number(events.total)} events, the newest first`}
        rows={events.items}
        keyOf={({ event_id, place, time }) => `${event_id} ${place} ${time}`}
        columns={[
          { title: 'Event', of: ({ event_id }) => event_id },
          { title: 'Time', of: ({ time }) => timeOf(time) },
          { title: 'Arrived', of: ({ arrived_at }) => timeOf(arrived_at) },
          {
            title: 'Contribution',
            of: ({ contribution }) => (contribution === null ? '' : shown(contribution)),
            isNumber: true,
          },
          { title: 'From', of: ({ from, place }) => `${from} ${place ?? ''}` },
        ]}
      />
      <Pages query={query} offset={events.offset} total={events.total} />
      {uncounted.total === 0 ? null : (
        <Table
          caption={`${number(uncounted.total)} events would have counted and did not`}
          rows={uncounted.items}
          keyOf={({ event_id, place, time }) => `${event_id} ${place} ${time}`}
          columns={[
            { title: 'Event', of: ({ event_id }) => event_id },
            { title: 'Time', of: ({ time }) => timeOf(time) },
            { title: 'Why', of: ({ fate }) => fate },
            { title: 'Reason', of: ({ reason }) => reason },
          ]}
        />
      )}
      {refused.length === 0 ? null : (
        <Table
          caption={`${number(refused.length)} records of the entity were refused`}
          rows={refused}
          keyOf={({ event_id, time }) => `${event_id} ${time}`}
          columns={[
            { title: 'Event', of: ({ event_id }) => event_id ?? '' },
            { title: 'Refused', of: ({ time }) => timeOf(time) },
            { title: 'Reason', of: ({ reason }) => reason },
          ]}
        />
      )}
    </section>
  );
}

function FormulaTree({ of: { name, formula, value, inputs } }: { readonly of: Formula }) {
  return (
    <ul>
      <li>
        {name} = <code>{formula}</code> is {shown(value)}
        {inputs.map((input) => (
          <FormulaTree key={input.name} of={input} />
        ))}
      </li>
    </ul>
  );
}

function Pages({ query, offset, total }: { readonly query: string; readonly offset: number; readonly total: number }) {
  const at = (from: number): string => {
    const next = new URLSearchParams(query);
    next.set('offset', String(from));
    return `#/why?${next}`;
  };
  return (
    <p>
      {offset > 0 ? <a href={at(Math.max(0, offset - PAGE))}>Newer events</a> : null}{' '}
      {offset + PAGE < total ? <a href={at(offset + PAGE)}>Older events</a> : null}
    </p>
  );
}
