import { useState } from 'preact/hooks';
import type { Letter } from '../../../answers.ts';
import type { DeadLetters as Answer } from '../../../sources.ts';
import { ask, useAsked, useAskedOnce, useMay } from '../../api.ts';
import { Confirm, Empty, Facts, Filter, Filters, Loaded, number, Table, timeOf } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';

interface Chosen {
  readonly stage?: string;
  readonly reason?: string;
}

/** Letters by what is wrong with them, or one to be read, mended and sent again. */
export function DeadLetters({ parts: [partition, offset], query }: Place) {
  return partition === undefined || offset === undefined ? (
    <List query={query} />
  ) : (
    <One where={`${partition}/${offset}`} />
  );
}

const MAY_REPLAY = ['console:act', 'console:replay'];

function List({ query }: Pick<Place, 'query'>) {
  const [replaying, setReplaying] = useState<Chosen>();
  const may = useMay();
  const [stage, reason] = [query.get('stage'), query.get('reason')];
  const filter: Chosen = { ...(stage === null ? {} : { stage }), ...(reason === null ? {} : { reason }) };
  const isFiltered = Object.keys(filter).length > 0;
  const asked = useAsked<Answer>(`/console/api/dead-letters?${new URLSearchParams({ ...filter })}`);
  return (
    <>
      <Filters>
        <Filter label="Reason contains" name="reason" />
        {isFiltered ? (
          <>
            <a href="#/dead-letters">All letters</a>
            {may(...MAY_REPLAY) ? (
              <button type="button" class="primary" onClick={() => setReplaying(filter)}>
                Replay these
              </button>
            ) : null}
          </>
        ) : null}
      </Filters>
      <Loaded asked={asked}>
        {({ total, groups, newest }) =>
          total === 0 ? (
            <Empty>
              {isFiltered
                ? 'No letter passes the filter.'
                : 'No record was refused: those that cannot be used are kept here, whole.'}
            </Empty>
          ) : (
            <>
              <p>
                <b>{number(total)}</b> dead letters{stage === null ? '' : ` of ${stage}`}
              </p>
              <Table
                caption="By stage and reason, the most frequent first"
                rows={groups}
                keyOf={(group) => `${group.stage} ${group.reason}`}
                columns={[
                  { title: 'Letters', of: ({ count }) => number(count), isNumber: true },
                  {
                    title: 'Stage',
                    of: (group) => <a href={linkTo(['dead-letters'], { stage: group.stage })}>{group.stage}</a>,
                  },
                  { title: 'Reason', of: (group) => group.reason },
                ]}
              />
              <h2>The newest</h2>
              <Table
                caption="Each opens"
                rows={newest}
                keyOf={({ where }) => where}
                columns={[
                  {
                    title: 'Letter',
                    of: ({ where }) => <a href={linkTo(['dead-letters', ...where.split('/')])}>{where}</a>,
                  },
                  { title: 'Time', of: ({ time }) => (time === '' ? '' : timeOf(time)) },
                  { title: 'Stage', of: (letter) => letter.stage },
                  { title: 'Reason', of: (letter) => letter.reason },
                  { title: 'Tried', of: ({ attempt }) => number(attempt), isNumber: true },
                  { title: 'Payload', of: ({ payload }) => <code>{payload.slice(0, BRIEF)}</code> },
                ]}
              />
              {!isFiltered && may(...MAY_REPLAY) ? (
                <p>
                  <button type="button" onClick={() => setReplaying({})}>
                    Replay all, each once
                  </button>
                </p>
              ) : null}
            </>
          )
        }
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
              { method: 'POST', body: replaying },
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

const BRIEF = 160;

function One({ where }: { readonly where: string }) {
  const asked = useAskedOnce<Letter>(`/console/api/dead-letters/${where.split('/').map(encodeURIComponent).join('/')}`);
  return <Loaded asked={asked}>{(letter) => <Editor of={letter} />}</Loaded>;
}

/** JSON in lines where it is that. */
function inLines(payload: string): string {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}

/** What is wrong with a payload as JSON; undefined: nothing. */
function problemOf(payload: string): string | undefined {
  try {
    JSON.parse(payload);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function Editor({ of }: { readonly of: Letter }) {
  const may = useMay();
  const [payload, setPayload] = useState(inLines(of.payload));
  const [isSending, setSending] = useState(false);
  const problem = problemOf(payload);
  const mayEdit = of.locked === undefined && may(...MAY_REPLAY);
  return (
    <>
      <Facts
        of={[
          ['Refused by', of.stage],
          ['Reason', <b key="reason">{of.reason}</b>],
          ['Time', of.time === '' ? '' : timeOf(of.time)],
          ['Times tried', number(of.attempt)],
          ['Came from', of.origin],
        ]}
      />
      <label>
        Payload
        <textarea
          rows={18}
          spellcheck={false}
          readOnly={!mayEdit}
          value={payload}
          onInput={(event) => setPayload(event.currentTarget.value)}
        />
      </label>
      {of.locked === undefined ? null : <p class="quiet">It cannot be edited: {of.locked}.</p>}
      {mayEdit ? (
        <>
          <p role="status" class={problem === undefined ? 'quiet' : 'warn'}>
            {problem === undefined ? 'Valid JSON.' : `No valid JSON: ${problem}`}
          </p>
          <button type="button" class="primary" disabled={problem !== undefined} onClick={() => setSending(true)}>
            Send it again
          </button>
        </>
      ) : null}
      {isSending ? (
        <Confirm
          title={`Send ${of.where} again`}
          action="Send"
          wantsReason={false}
          onClose={() => setSending(false)}
          onConfirm={async () => {
            const path = `/console/api/dead-letters/${of.where}/resend`;
            const body = { payload: JSON.stringify(JSON.parse(payload)) };
            const { topic } = await ask<{ readonly topic: string }>(path, { method: 'POST', body });
            return `It was sent to ${topic}. If it is refused again there will be a new letter.`;
          }}
        >
          <p>It goes to where it came from, with its key; the letter itself stays in its topic.</p>
        </Confirm>
      ) : null}
    </>
  );
}
