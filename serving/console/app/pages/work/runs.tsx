import { useState } from 'preact/hooks';
import { RUN_STATUSES, type RunRecord } from '#kernel/workflow_runs';
import type { RunDetails } from '../../../sources.ts';
import { ask, useAsked, useMay } from '../../api.ts';
import { Choice, Confirm, Empty, Filter, Filters, Json, Loaded, Mark, span, Table, timeOf } from '../../parts.tsx';
import type { Place } from '../../router.ts';
import { attemptsOf, Gantt, StateGraph, type StepAttempt } from './state_graph.tsx';

/** Runs of workflows, or one with its states over time. */
export function Runs({ query }: Place) {
  const chosen = query.get('run');
  return chosen === null ? <AllRuns query={query} /> : <OneRun key={chosen} id={chosen} />;
}

const kindOf = (status: string): 'good' | 'quiet' | 'bad' =>
  status === 'succeeded' ? 'good' : status === 'running' || status === 'queued' ? 'quiet' : 'bad';

const STATUSES = [['', 'all'], ...RUN_STATUSES.map((status) => [status, status.replace('_', ' ')] as const)] as const;

function AllRuns({ query: given }: Pick<Place, 'query'>) {
  const [status, text] = [given.get('status') ?? '', given.get('text') ?? ''];
  const query = status === '' ? '' : `?status=${status}`;
  const asked = useAsked<{ readonly runs: readonly RunRecord[] }>(`/console/api/runs${query}`);
  return (
    <>
      <Filters>
        <Filter label="Run or workflow" />
        <Choice label="Status" name="status" usual="" of={STATUSES} />
      </Filters>
      <Loaded asked={asked}>
        {({ runs }) => {
          const shown = runs.filter(({ id, workflow }) => `${id} ${workflow}`.includes(text));
          if (shown.length === 0) return <Empty>No run passes the filter, or none was started yet.</Empty>;
          return (
            <Table
              caption="Newest runs"
              rows={shown}
              keyOf={({ id }) => id}
              columns={[
                { title: 'Run', of: ({ id }) => <a href={`#/runs?run=${encodeURIComponent(id)}`}>{id}</a> },
                { title: 'Workflow', of: ({ workflow }) => workflow },
                { title: 'Status', of: (run) => <Mark kind={kindOf(run.status)}>{run.status.replace('_', ' ')}</Mark> },
                { title: 'At', of: ({ at, error }) => error ?? at.map(({ state }) => state).join(', ') },
                { title: 'Started by', of: ({ origin }) => `${origin.kind} ${origin.by}` },
                { title: 'Queued', of: ({ queuedAt }) => timeOf(queuedAt) },
                { title: 'Took', of: (run) => tookOf(run), isNumber: true },
              ]}
            />
          );
        }}
      </Loaded>
    </>
  );
}

const tookOf = ({ startedAt, endedAt }: RunRecord): string =>
  startedAt === null
    ? ''
    : span(((endedAt === null ? Date.now() : Date.parse(endedAt)) - Date.parse(startedAt)) / 1_000);

function OneRun({ id }: { readonly id: string }) {
  const asked = useAsked<RunDetails>(`/console/api/runs/${encodeURIComponent(id)}`);
  const may = useMay();
  const [changing, setChanging] = useState<'cancel' | 'redrive'>();
  const [step, setStep] = useState<string>();
  return (
    <>
      <p>
        <a href="#/runs">All runs</a>
      </p>
      <Loaded asked={asked}>
        {({ run, document, events, lines, datasets }) => {
          const attempts = attemptsOf(events, run.endedAt);
          const states = new Map(attempts.map((attempt) => [attempt.state, attempt.status] as const));
          const shown = attempts.find(({ key }) => key === step) ?? attempts.at(-1);
          const mayRedrive = ['failed', 'timed_out', 'cancelled'].includes(run.status);
          return (
            <>
              <h2>{run.id}</h2>
              <p>
                <Mark kind={kindOf(run.status)}>{run.status.replace('_', ' ')}</Mark> {run.workflow}, started by{' '}
                {run.origin.kind} {run.origin.by}, {tookOf(run)}{' '}
                {run.error === null ? '' : <span class="bad">{`${run.error}: ${run.cause}`}</span>}
              </p>
              <p>
                {run.endedAt === null && may('console:act', `operate:${run.workflow}`) ? (
                  <button type="button" onClick={() => setChanging('cancel')}>
                    Cancel the run
                  </button>
                ) : null}
                {mayRedrive && may('console:act', `operate:${run.workflow}`) ? (
                  <button type="button" class="primary" onClick={() => setChanging('redrive')}>
                    Redrive from what failed
                  </button>
                ) : null}
              </p>
              <StateGraph name={run.id} machine={document} states={states} />
              <Gantt attempts={attempts} chosen={shown?.key} onChoose={setStep} />
              {shown === undefined ? null : <Step attempt={shown} lines={lines} />}
              <Lineage datasets={datasets} />
              <details>
                <summary>Input and output of the run</summary>
                <Json label="Input of the run" value={run.input} />
                <Json label="Output of the run" value={run.output} />
              </details>
              {changing === undefined ? null : (
                <Confirm
                  title={changing === 'cancel' ? `Cancel ${run.id}` : `Redrive ${run.id}`}
                  action={changing === 'cancel' ? 'Cancel it' : 'Redrive'}
                  wantsReason={changing === 'cancel'}
                  onClose={() => {
                    setChanging(undefined);
                    asked.refresh();
                  }}
                  onConfirm={async (reason) => {
                    const path = `/console/api/workflows/${run.workflow}/runs/${encodeURIComponent(run.id)}/${changing}`;
                    await ask(path, { method: 'POST', body: changing === 'cancel' ? { reason } : {} });
                    return changing === 'cancel' ? 'It is cancelled.' : 'It runs again.';
                  }}
                >
                  {changing === 'redrive' ? <p>States that succeeded keep their results.</p> : null}
                </Confirm>
              )}
            </>
          );
        }}
      </Loaded>
    </>
  );
}

function Lineage({ datasets }: Pick<RunDetails, 'datasets'>) {
  if (datasets.length === 0) return null;
  return (
    <Table
      caption="Lineage"
      rows={datasets}
      keyOf={({ direction, name, version }) => `${direction} ${name} ${version}`}
      columns={[
        { title: 'Direction', of: ({ direction }) => (direction === 'input' ? 'read' : 'made') },
        { title: 'Data set or model', of: ({ name }) => name },
        { title: 'Version', of: ({ version }) => version },
      ]}
    />
  );
}

function Step({ attempt, lines }: { readonly attempt: StepAttempt; readonly lines: RunDetails['lines'] }) {
  const own = lines.filter((line) => line.path === attempt.path && line.state === attempt.state);
  return (
    <section>
      <h2>{attempt.state}</h2>
      <p>
        {attempt.status}, {span((attempt.endMs - attempt.startMs) / 1_000)} since{' '}
        {new Date(attempt.startMs).toLocaleString()}
      </p>
      <Json label="Input" value={attempt.input} />
      <Json label="Result" value={attempt.output} />
      <h3>Log</h3>
      {own.length === 0 ? (
        <p class="quiet">The state has logged nothing.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached without a mouse
        <section class="log" tabIndex={0} aria-label={`Log of ${attempt.state}`}>
          <pre>{own.map(({ at, line }) => `${at.slice(11, 19)} ${line}`).join('\n')}</pre>
        </section>
      )}
    </section>
  );
}
