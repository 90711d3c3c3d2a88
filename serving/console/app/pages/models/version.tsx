import type { VersionDetails } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Facts, Loaded, number, Table, timeOf } from '../../parts.tsx';
import { linkTo } from '../../router.ts';

const pathOf = (model: string, version: string): string =>
  `/console/api/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`;

/** One version: what it was trained on, how it was judged, what it takes. */
export function Version({ model, version }: { readonly model: string; readonly version: string }) {
  const asked = useAsked<VersionDetails>(pathOf(model, version));
  return (
    <Loaded asked={asked}>
      {(of) => (
        <>
          <p>{of.version.description}</p>
          <Facts
            of={[
              ['Stage', [of.version.stage, ...of.version.aliases.map((alias) => `@${alias}`)].join(' ')],
              ['Registered', timeOf(new Date(of.version.createdAtMs).toISOString())],
              ['Task', of.task.replaceAll('_', ' ')],
              ['Classes', of.classes.join(', ')],
              ['Threshold', number(of.threshold)],
              [
                'Trained on',
                of.service === undefined ? (
                  'no feature service'
                ) : (
                  <a key="service" href={linkTo([of.isView ? 'views' : 'services', of.service])}>
                    {of.service}
                  </a>
                ),
              ],
              ['Run', of.version.runId],
              ['Predictions in a day', number(of.predictions)],
            ]}
          />
          <p>
            <a href={linkTo(['models', model, 'compare'], { a: version })}>Compare with another version</a>
            {' · '}
            <a href={linkTo(['predictions'], { model })}>Predictions</a>
            {' · '}
            <a href={linkTo(['drift'], { model })}>Drift</a>
          </p>
          <h2>Metrics</h2>
          <Table
            caption="As it was judged in training"
            rows={Object.entries(of.version.metrics)}
            keyOf={([name]) => name}
            empty="It was registered without metrics."
            columns={[
              { title: 'Metric', of: ([name]) => name },
              { title: 'Value', of: ([, value]) => number(value), isNumber: true },
            ]}
          />
          <h2>Signature</h2>
          <Table
            caption={`${of.inputs.length} inputs`}
            rows={of.inputs}
            keyOf={({ name }) => name}
            columns={[
              { title: 'Input', of: ({ name }) => <a href={linkTo(['features'], { text: name })}>{name}</a> },
              { title: 'Type', of: ({ type }) => type },
              { title: 'Required', of: ({ required }) => (required ? 'yes' : 'no') },
            ]}
          />
          <Table
            caption="Tags"
            rows={Object.entries(of.version.tags)}
            keyOf={([name]) => name}
            empty="It has no tags."
            columns={[
              { title: 'Tag', of: ([name]) => name },
              { title: 'Value', of: ([, value]) => <code>{value.slice(0, LONGEST)}</code> },
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

const LONGEST = 300;

/** Two versions beside each other: metrics, inputs, tags. */
export function Compare({
  model,
  versions,
  query,
}: {
  readonly model: string;
  readonly versions: readonly number[];
  readonly query: URLSearchParams;
}) {
  const newestFirst = [...versions].sort((a, b) => b - a);
  const a = query.get('a') ?? String(newestFirst[1] ?? newestFirst[0] ?? '');
  const b = query.get('b') ?? String(newestFirst.find((each) => String(each) !== a) ?? a);
  const choose = (name: 'a' | 'b', label: string, value: string) => (
    <label>
      {label}
      <select
        value={value}
        onInput={(event) => {
          location.hash = linkTo(['models', model, 'compare'], { a, b, [name]: event.currentTarget.value });
        }}
      >
        {newestFirst.map((each) => (
          <option key={each} value={String(each)}>
            version {each}
          </option>
        ))}
      </select>
    </label>
  );
  const left = useAsked<VersionDetails>(pathOf(model, a));
  const right = useAsked<VersionDetails>(pathOf(model, b));
  return (
    <>
      <form class="line" onSubmit={(event) => event.preventDefault()}>
        {choose('a', 'Compare', a)}
        {choose('b', 'with', b)}
      </form>
      <Loaded asked={left}>
        {(first) => <Loaded asked={right}>{(second) => <Differences a={first} b={second} />}</Loaded>}
      </Loaded>
    </>
  );
}

interface Line {
  readonly name: string;
  readonly a: string;
  readonly b: string;
  readonly difference?: string;
}

function Differences({ a, b }: { readonly a: VersionDetails; readonly b: VersionDetails }) {
  const [first, second] = [`Version ${a.version.version}`, `Version ${b.version.version}`];
  const metrics = namesOf(a.version.metrics, b.version.metrics).map((name): Line => {
    const [before, after] = [a.version.metrics[name], b.version.metrics[name]];
    return {
      ...{ name, a: number(before), b: number(after) },
      difference: before === undefined || after === undefined ? '' : signed(after - before),
    };
  });
  const facts: readonly Line[] = [
    { name: 'Stage', a: a.version.stage, b: b.version.stage },
    { name: 'Task', a: a.task, b: b.task },
    { name: 'Classes', a: a.classes.join(', '), b: b.classes.join(', ') },
    { name: 'Threshold', a: number(a.threshold), b: number(b.threshold) },
    { name: 'Trained on', a: a.service ?? '', b: b.service ?? '' },
    { name: 'Description', a: a.version.description, b: b.version.description },
    ...namesOf(a.version.tags, b.version.tags).map((name) => ({
      name,
      a: a.version.tags[name] ?? '',
      b: b.version.tags[name] ?? '',
    })),
  ].filter((line) => line.a !== line.b);
  const types = (of: VersionDetails) => Object.fromEntries(of.inputs.map(({ name, type }) => [name, type]));
  const [before, after] = [types(a), types(b)];
  const inputs = namesOf(before, after)
    .map((name): Line => ({ name, a: before[name] ?? 'not an input', b: after[name] ?? 'not an input' }))
    .filter((line) => line.a !== line.b);
  const columns = [
    { title: first, of: (line: Line) => line.a, isNumber: true },
    { title: second, of: (line: Line) => line.b, isNumber: true },
  ];
  return (
    <>
      <Table
        caption="Metrics, as judged in training"
        rows={metrics}
        keyOf={({ name }) => name}
        empty="Neither has metrics."
        columns={[
          { title: 'Metric', of: ({ name }) => name },
          ...columns,
          { title: 'Difference', of: ({ difference }) => difference, isNumber: true },
        ]}
      />
      <Table
        caption="What else differs"
        rows={facts}
        keyOf={({ name }) => name}
        empty="Nothing else differs: stage, task, classes, threshold, service, description and tags are the same."
        columns={[
          { title: 'What', of: ({ name }) => name },
          ...columns.map(({ title, of }) => ({ title, of: (line: Line) => <code>{of(line)}</code> })),
        ]}
      />
      <Table
        caption="Inputs that differ"
        rows={inputs}
        keyOf={({ name }) => name}
        empty="Both take the same inputs."
        columns={[{ title: 'Input', of: ({ name }) => name }, ...columns.map(({ title, of }) => ({ title, of }))]}
      />
    </>
  );
}

const namesOf = (a: object, b: object): readonly string[] =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
const signed = (difference: number): string => (difference > 0 ? `+${number(difference)}` : number(difference));
