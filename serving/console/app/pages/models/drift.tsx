import type { DriftReport } from '#monitoring/drift/drift_report';
import { useAsked } from '../../api.ts';
import { Empty, Loaded, Mark, number, percent, Spark, Table, timeOf } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';

/** How windows of predictions compare with training, by version and column. */
export function Drift({ query }: Place) {
  const wanted = query.get('model');
  const asked = useAsked<{ readonly reports: readonly DriftReport[] }>('/console/api/drift');
  return (
    <Loaded asked={asked}>
      {({ reports }) => {
        const versions = new Map<string, DriftReport[]>();
        for (const report of reports) {
          if (wanted !== null && report.model !== wanted) continue;
          const key = `${report.model} ${report.version}`;
          versions.set(key, [...(versions.get(key) ?? []), report]);
        }
        if (versions.size === 0)
          return <Empty>No window of predictions was compared with training yet: one needs 200 predictions.</Empty>;
        return [...versions].map(([name, own]) => <Version key={name} name={name} reports={own} />);
      }}
    </Loaded>
  );
}

/** @param reports - of one version, the newest first */
function Version({ name, reports }: { readonly name: string; readonly reports: readonly DriftReport[] }) {
  const newest = reports[0] as DriftReport;
  const drifted = newest.columns.filter((column) => column.drifted).length;
  const over = (column: string): readonly number[] =>
    [...reports].reverse().flatMap((report) => report.columns.find((each) => each.column === column)?.psi ?? []);
  return (
    <section>
      <h2>
        <a href={linkTo(['models', newest.model, newest.version])}>{name}</a>
      </h2>
      <p>
        <Mark kind={drifted > 0 ? 'warn' : 'good'}>
          {drifted > 0 ? `${drifted} columns have drifted` : 'as in training'}
        </Mark>{' '}
        <span class="quiet">
          {number(newest.rows)} predictions since {timeOf(new Date(newest.windowStartMs).toISOString())}
        </span>
      </p>
      <Table
        caption={`Columns of ${name} in the newest window, against training`}
        rows={[...newest.columns].sort((a, b) => Number(b.drifted) - Number(a.drifted) || (b.psi ?? 0) - (a.psi ?? 0))}
        keyOf={({ kind, column }) => `${kind} ${column}`}
        columns={[
          {
            title: 'Column',
            of: ({ column, kind }) =>
              kind === 'feature' ? <a href={linkTo(['features'], { text: column })}>{column}</a> : column,
          },
          { title: 'Drifted', of: (column) => (column.drifted ? <Mark kind="warn">drifted</Mark> : '') },
          { title: 'Stability index', of: ({ psi }) => number(psi), isNumber: true },
          { title: 'KS', of: ({ ks }) => number(ks), isNumber: true },
          { title: "Cramér's V", of: ({ cramersV }) => number(cramersV), isNumber: true },
          { title: 'Missing', of: ({ nullShare }) => percent(nullShare), isNumber: true },
          { title: 'Beyond training', of: ({ outOfRangeShare }) => percent(outOfRangeShare), isNumber: true },
          {
            title: 'Index over time',
            of: ({ column }) => <Spark values={over(column)} label={`stability index of ${column} over time`} />,
          },
        ]}
      />
    </section>
  );
}
