import { useState } from 'preact/hooks';
import type { DeadLetters as Letters } from '../../sources.ts';
import { ask, useAsked } from '../api.ts';
import { Confirm, Loaded, number, Table } from '../parts.tsx';

interface Filter {
  readonly stage?: string;
  readonly reason?: string;
}

export function DeadLetters() {
  const [stage, setStage] = useState('');
  const [reason, setReason] = useState('');
  const [replaying, setReplaying] = useState<Filter>();
  const filter: Filter = { ...(stage === '' ? {} : { stage }), ...(reason === '' ? {} : { reason }) };
  const asked = useAsked<Letters>(`/console/api/dead-letters?${new URLSearchParams({ ...filter })}`);
  const isFiltered = Object.keys(filter).length > 0;
  return (
    <>
      <form class="line" onSubmit={(event) => event.preventDefault()}>
        <label>
          Reason contains
          <input type="search" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        <label>
          Stage
          <select value={stage} onInput={(event) => setStage(event.currentTarget.value)}>
            <option value="">all</option>
            {[...new Set(asked.data?.groups.map((group) => group.stage) ?? []), ...(stage === '' ? [] : [stage])].map(
              (each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ),
            )}
          </select>
        </label>
        <button type="button" class="primary" onClick={() => setReplaying(filter)}>
          {isFiltered ? 'Replay these' : 'Replay all, each once'}
        </button>
      </form>
      <Loaded asked={asked}>
        {({ total, groups, newest }) => (
          <>
            <p>
              <b>{number(total)}</b> dead letters
            </p>
            <Table
              caption="By stage and reason"
              rows={groups}
              keyOf={(group) => `${group.stage} ${group.reason}`}
              columns={[
                { title: 'Letters', of: ({ count }) => number(count), isNumber: true },
                { title: 'Stage', of: (group) => group.stage },
                { title: 'Reason', of: (group) => group.reason },
              ]}
            />
            <h2>The newest</h2>
            <Table
              caption="Newest dead letters"
              rows={newest}
              keyOf={({ where }) => where}
              columns={[
                { title: 'Time', of: ({ time }) => (time === '' ? '' : new Date(time).toLocaleString()) },
                { title: 'Stage', of: (letter) => letter.stage },
                { title: 'Reason', of: (letter) => letter.reason },
                { title: 'Tried', of: ({ attempt }) => number(attempt), isNumber: true },
                { title: 'Payload', of: ({ payload }) => <code>{payload.slice(0, 200)}</code> },
              ]}
            />
          </>
        )}
      </Loaded>
      {replaying === undefined ? null : (
        <Confirm
          title="Replay dead letters"
          action="Replay"
          wantsReason={false}
          onClose={() => {
            setReplaying(undefined);
            asked.refresh();
          }}
          onConfirm={async () => {
            const { replayed, unusable } = await ask<{ replayed: number; unusable: number }>(
              '/console/api/dead-letters/replay',
              {
                method: 'POST',
                body: replaying,
              },
            );
            return `${replayed} were sent to raw-events again${unusable > 0 ? `, ${unusable} cannot be` : ''}.`;
          }}
        >
          <p>Their payloads go to raw-events again; event ids that are known are dropped there.</p>
        </Confirm>
      )}
    </>
  );
}
