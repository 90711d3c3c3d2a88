import { useState } from 'preact/hooks';
import type { RunRecord } from '#kernel/workflow_runs';
import { ask, useAsked, useMay } from '../../api.ts';
import { Confirm, Empty, Loaded, Table, timeOf } from '../../parts.tsx';

interface Waiting {
  readonly run: RunRecord;
  readonly state: string;
}

export function Approvals() {
  const asked = useAsked<{ readonly runs: readonly RunRecord[] }>('/console/api/runs?status=running');
  const may = useMay();
  const [answering, setAnswering] = useState<Waiting & { readonly action: 'approve' | 'reject' }>();
  return (
    <Loaded asked={asked}>
      {({ runs }) => {
        const waiting = runs.flatMap((run): readonly Waiting[] =>
          run.at.filter(({ phase }) => phase === 'token').map(({ state }) => ({ run, state })),
        );
        return (
          <>
            {waiting.length === 0 ? (
              <Empty>Nothing waits for an approval: states of workflows that do are listed here.</Empty>
            ) : (
              <Table
                caption="States that wait for an answer"
                rows={waiting}
                keyOf={({ run, state }) => `${run.id} ${state}`}
                columns={[
                  { title: 'Run', of: ({ run }) => <a href={`#/runs?run=${encodeURIComponent(run.id)}`}>{run.id}</a> },
                  { title: 'State', of: ({ state }) => state },
                  { title: 'Since', of: ({ run }) => timeOf(run.startedAt) },
                  { title: 'Started by', of: ({ run }) => `${run.origin.kind} ${run.origin.by}` },
                  {
                    title: 'Answer',
                    of: (each) =>
                      !may('console:act', `approve:${each.run.workflow}`) ? (
                        ''
                      ) : (
                        <>
                          <button
                            type="button"
                            class="primary"
                            onClick={() => setAnswering({ ...each, action: 'approve' })}
                          >
                            Approve
                          </button>{' '}
                          <button type="button" onClick={() => setAnswering({ ...each, action: 'reject' })}>
                            Reject
                          </button>
                        </>
                      ),
                  },
                ]}
              />
            )}
            {answering === undefined ? null : (
              <Confirm
                title={`${answering.action === 'approve' ? 'Approve' : 'Reject'} ${answering.state} of ${answering.run.id}`}
                action={answering.action === 'approve' ? 'Approve' : 'Reject'}
                onClose={() => {
                  setAnswering(undefined);
                  asked.refresh();
                }}
                onConfirm={async (reason) => {
                  const { run, state, action } = answering;
                  const path = `/console/api/workflows/${run.workflow}/runs/${encodeURIComponent(run.id)}/${action}`;
                  await ask(path, { method: 'POST', body: { reason, state } });
                  return action === 'approve' ? 'It is approved.' : 'It is rejected.';
                }}
              />
            )}
          </>
        );
      }}
    </Loaded>
  );
}
