import type { DriftReport } from '#monitoring/drift/drift_report';
import { useAsked } from '../api.ts';
import { Loaded, number, percent, Spark, Table } from '../parts.tsx';

export function Drift() {
  const asked = useAsked<{ readonly reports: readonly DriftReport[] }>('/console/api/drift');
  return (
    <Loaded asked={asked}>
      {({ reports }) => {
        const versions = new Map<string, DriftReport[]>();
        for (const report of reports) {
          const key = `${report.model} ${report.version}`;
          versions.set(key, [...(versions.get(key) ?? []), report]);
        }
        if (versions.size === 0) return <p class="quiet">No window of predictions was compared with training yet.</p>;
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
      <h2>{name}</h2>
      <p>
        <b class={drifted > 0 ? 'bad' : 'good'}>{drifted > 0 ? `${drifted} columns have drifted` : 'as in training'}</b>{' '}
        <span class="quiet">
          {number(newest.rows)} predictions since {new Date(newest.windowStartMs).toLocaleString()}
        </span>
      </p>
      <Table
        caption={`Columns of ${name} in the newest window, against training`}
        rows={newest.columns}
        keyOf={({ kind, column }) => `${kind} ${column}`}
        columns={[
          { title: 'Column', of: ({ column }) => column },
          { title: 'Drifted', of: (column) => (column.drifted ? <b class="bad">yes</b> : '') },
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
