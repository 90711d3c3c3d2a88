import type { RunRecord } from '#kernel/workflow_runs';
import type { WorkflowStatus } from '../../../sources.ts';
import { useAsked } from '../../api.ts';
import { Empty, Loaded, number, Table } from '../../parts.tsx';
import { StateGraph } from './state_graph.tsx';

export function Workflows() {
  const asked = useAsked<{ readonly workflows: readonly WorkflowStatus[] }>('/console/api/workflows');
  const { data } = useAsked<{ readonly runs: readonly RunRecord[] }>('/console/api/runs');
  const runs = data?.runs ?? [];
  return (
    <Loaded asked={asked}>
      {({ workflows }) => (
        <>
          {workflows.length === 0 ? <Empty>The project defines no workflows.</Empty> : null}
          {workflows.map(({ name, document, schedules }) => {
            const own = runs.filter(({ workflow }) => workflow === name);
            const newest = own[0];
            return (
              <section key={name}>
                <h2>{name}</h2>
                <Table
                  caption={`Newest runs of ${name}`}
                  rows={[{ name }]}
                  keyOf={(row) => row.name}
                  columns={[
                    {
                      title: 'Schedules',
                      of: () => (schedules.length === 0 ? <span class="quiet">none</span> : schedules.join(', ')),
                    },
                    {
                      title: 'Active',
                      of: () => number(own.filter(({ endedAt }) => endedAt === null).length),
                      isNumber: true,
                    },
                    {
                      title: 'Failed',
                      of: () => number(own.filter(({ status }) => status === 'failed').length),
                      isNumber: true,
                    },
                    {
                      title: 'Newest run',
                      of: () =>
                        newest === undefined ? (
                          <span class="quiet">never ran</span>
                        ) : (
                          <a href={`#/runs?run=${encodeURIComponent(newest.id)}`}>{newest.id}</a>
                        ),
                    },
                  ]}
                />
                <details>
                  <summary>States</summary>
                  <StateGraph name={name} machine={document} states={new Map()} />
                </details>
              </section>
            );
          })}
        </>
      )}
    </Loaded>
  );
}
