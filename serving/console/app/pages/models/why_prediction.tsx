import { useAskedOnce } from '../../api.ts';
import { Facts, Loaded, Mark, number, span, Table, timeOf } from '../../parts.tsx';
import { entityLink, linkTo } from '../../router.ts';

interface Feature {
  readonly name: string;
  readonly value: unknown;
  readonly hidden: boolean;
  readonly contributions: readonly number[] | null;
  readonly from: { readonly view: string; readonly feature: string; readonly on_demand: boolean } | null;
  readonly stored: { readonly value: unknown; readonly equal: boolean; readonly age_ms: number } | null;
  readonly why: string | null;
}

interface Answered {
  readonly prediction_id: string;
  readonly time: string;
  readonly version: number;
  readonly prediction: string;
  readonly variant: string | null;
}

interface Explanation extends Answered {
  readonly request_id: string;
  readonly row_index: number;
  readonly rows: number;
  readonly outputs: Readonly<Record<string, number>>;
  readonly entity: string | null;
  readonly model: { readonly name: string; readonly version: number; readonly stage: string | null };
  readonly chosen_by: { readonly reason: string };
  readonly threshold: { readonly value: number; readonly adaptive: boolean } | null;
  readonly features: readonly Feature[];
  readonly explanation: {
    readonly method: string;
    readonly scale: string;
    readonly outputs: readonly { readonly output: string; readonly base_value: number; readonly value: number }[];
  } | null;
  readonly problem: string | null;
  readonly equal: boolean | null;
  readonly difference: string | null;
  readonly feedback: { readonly label: string | null; readonly value: number | null } | null;
  readonly neighbours: readonly Answered[];
}

export const predictionLink = (id: string, row = 0): string =>
  `#/why?${new URLSearchParams({ prediction: id, ...(row === 0 ? {} : { row: String(row) }) })}`;

/** A form that leads to the page of a prediction. */
export function PredictionForm({ id, row }: { readonly id: string | null; readonly row: string | null }) {
  const show = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    location.hash = predictionLink(String(form.get('prediction')).trim(), Number(form.get('row') ?? 0));
  };
  return (
    <form class="line" onSubmit={show}>
      <label>
        Prediction
        <input name="prediction" required value={id ?? ''} placeholder="its id, or its request's" />
      </label>
      <label>
        Row
        <input name="row" type="number" min="0" value={row ?? '0'} />
      </label>
      <button type="submit" class="primary">
        Explain the prediction
      </button>
    </form>
  );
}

/** Why a prediction is what it is. */
export function WhyPrediction({ id, row }: { readonly id: string; readonly row: string }) {
  const path = `/console/api/predictions/${encodeURIComponent(id)}/why?${new URLSearchParams({ row })}`;
  return <Loaded asked={useAskedOnce<Explanation>(path)}>{(of) => <Shown of={of} />}</Loaded>;
}

const shown = (value: unknown): string => (typeof value === 'number' ? number(value) : JSON.stringify(value ?? null));

function Shown({ of }: { readonly of: Explanation }) {
  const [output] = of.explanation?.outputs ?? [];
  const features = [...of.features].sort((a, b) => weightOf(b) - weightOf(a));
  const most = Math.max(...features.map(weightOf), Number.MIN_VALUE);
  return (
    <section>
      <h2>
        {of.model.name} {of.version} answered {of.prediction}
        {of.entity === null ? '' : ` for ${of.entity}`}
      </h2>
      <p>
        {of.equal === null ? (
          <Mark kind="quiet">not computed again: {of.difference}</Mark>
        ) : of.equal ? (
          <Mark kind="good">computed again from the logged features: equal to the last digit</Mark>
        ) : (
          <Mark kind="bad">computed again: {of.difference}</Mark>
        )}
      </p>
      <Facts
        of={[
          ['Answered', timeOf(of.time)],
          [
            'Version',
            <a key="version" href={linkTo(['models', of.model.name, of.version])}>
              {`${of.version}, ${of.model.stage === null ? 'not in the registry any more' : `${of.model.stage} now`}`}
            </a>,
          ],
          ['Chosen by', of.chosen_by.reason],
          ['Outputs', outputsOf(of)],
          [
            'Explained',
            output === undefined
              ? ''
              : `${number(output.base_value)} without features, ${number(output.value)} with them (${of.explanation?.scale.replace('_', ' ')} of ${output.output})`,
          ],
          ['Not explained', of.problem],
          ['Feedback', of.feedback === null ? 'none yet' : `${of.feedback.label ?? ''} ${of.feedback.value ?? ''}`],
          ['Request', `${of.request_id}, row ${of.row_index + 1} of ${of.rows}`],
          [
            'Entity',
            of.entity === null ? (
              ''
            ) : (
              <a key="entity" href={entityLink(of.entity)}>
                {of.entity}
              </a>
            ),
          ],
        ]}
      />
      <Table
        caption={`${features.length} features, those that matter most first`}
        rows={features}
        keyOf={({ name }) => name}
        columns={[
          {
            title: 'Feature',
            of: ({ name, why }) => (why === null ? name : <a href={valueLink(of, why)}>{name}</a>),
          },
          { title: 'Value', of: ({ value, hidden }) => (hidden ? 'hidden' : shown(value)), isNumber: true },
          {
            title: 'Adds',
            of: ({ contributions }) => <Bar value={contributions?.[0]} most={most} />,
          },
          { title: 'From', of: ({ from }) => (from === null ? 'the request' : from.view) },
          { title: 'Age', of: ({ stored }) => (stored === null ? '' : span(stored.age_ms / 1_000)), isNumber: true },
          {
            title: 'In the store',
            of: ({ stored }) => (stored === null ? '' : stored.equal ? 'equal' : shown(stored.value)),
          },
        ]}
      />
      {of.neighbours.length === 0 ? null : (
        <Table
          caption="Other predictions of the entity, by time"
          rows={of.neighbours}
          keyOf={({ prediction_id }) => prediction_id}
          columns={[
            { title: 'Time', of: ({ time }) => timeOf(time) },
            {
              title: 'Prediction',
              of: ({ prediction, prediction_id }) => <a href={predictionLink(prediction_id)}>{prediction}</a>,
            },
            { title: 'Version', of: ({ version }) => version, isNumber: true },
            { title: 'Variant', of: ({ variant }) => variant ?? '' },
          ]}
        />
      )}
    </section>
  );
}

const outputsOf = ({ outputs, threshold }: Explanation): string =>
  Object.entries(outputs)
    .map(([name, value]) => `${name} ${number(value)}`)
    .join(', ') + (threshold === null ? '' : `; threshold ${number(threshold.value)}`);

const weightOf = ({ contributions }: Feature): number => Math.abs(contributions?.[0] ?? 0);

/** The page of a feature's value at the time of the prediction. */
function valueLink({ entity }: Explanation, why: string): string {
  const [path = '', query = ''] = why.split('?');
  const given = new URLSearchParams(query);
  const [, , id = '', feature = ''] = path.split('/').map(decodeURIComponent);
  return `#/why?${new URLSearchParams({ entity: entity === null ? id : entity.slice(entity.indexOf(':') + 1), feature, ...Object.fromEntries(given) })}`;
}

const HALF = 50;

/** A contribution as a bar to the right, or to the left below 0. */
function Bar({ value, most }: { readonly value: number | undefined; readonly most: number }) {
  if (value === undefined) return null;
  const width = (Math.abs(value) / most) * HALF;
  return (
    <span class="adds">
      <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
        <line x1={HALF} x2={HALF} y1="0" y2="10" />
        <rect x={value < 0 ? HALF - width : HALF} y="1" width={width} height="8" class={value < 0 ? 'less' : 'more'} />
      </svg>
      {value < 0 ? '' : '+'}
      {number(value)}
    </span>
  );
}
