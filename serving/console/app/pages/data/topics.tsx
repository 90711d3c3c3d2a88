import type { Message, TopicStatus } from '../../../answers.ts';
import { useAsked } from '../../api.ts';
import { Choice, Filters, Loaded, Mark, number, shown, Table, timeOf } from '../../parts.tsx';
import { linkTo, type Place } from '../../router.ts';

const SHOWN_MESSAGES = 20;

/** Topics with their partitions, or one with its newest messages. */
export function Topics({ parts: [topic], query }: Place) {
  const asked = useAsked<{ readonly topics: readonly TopicStatus[] }>('/console/api/topics');
  return (
    <Loaded asked={asked}>
      {({ topics }) => {
        const found = topics.find((each) => each.topic === topic);
        return found === undefined ? <List topics={topics} /> : <Topic of={found} query={query} />;
      }}
    </Loaded>
  );
}

function List({ topics }: { readonly topics: readonly TopicStatus[] }) {
  return (
    <Table
      caption="Topics of the platform"
      rows={topics}
      keyOf={({ topic }) => topic}
      columns={[
        { title: 'Topic', of: ({ topic }) => <a href={linkTo(['topics', topic])}>{topic}</a> },
        { title: 'What lies in it', of: ({ what }) => what },
        { title: 'Partitions', of: ({ partitions }) => number(partitions.length), isNumber: true },
        {
          title: 'Records',
          of: ({ partitions }) => number(sumOf(partitions.map(({ end }) => Number(end ?? Number.NaN)))),
          isNumber: true,
        },
        {
          title: 'Waiting',
          of: ({ reader, partitions }) =>
            reader === undefined ? '' : number(sumOf(partitions.map(({ lag = 0 }) => lag))),
          isNumber: true,
        },
        {
          title: 'Slowest partition',
          of: ({ partitions }) => {
            const slow = partitions.filter(({ isSlow }) => isSlow);
            return slow.length === 0 ? (
              ''
            ) : (
              <Mark kind="warn">{slow.map(({ partition }) => partition).join(', ')}</Mark>
            );
          },
        },
      ]}
    />
  );
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

function Topic({
  of: { topic, what, reader, partitions },
  query,
}: {
  readonly of: TopicStatus;
  readonly query: URLSearchParams;
}) {
  const most = Math.max(1, ...partitions.map(({ lag = 0 }) => lag));
  return (
    <>
      <p>{what}</p>
      <Table
        caption={
          reader === undefined
            ? `Partitions of ${topic}; no job of the platform reads it`
            : `Partitions of ${topic}, read by ${reader}`
        }
        rows={partitions}
        keyOf={({ partition }) => partition}
        columns={[
          {
            title: 'Partition',
            of: ({ partition }) => <a href={linkTo(['topics', topic], { partition })}>{partition}</a>,
          },
          { title: 'Records', of: ({ end }) => (end === undefined ? '' : number(Number(end))), isNumber: true },
          { title: 'Waiting', of: ({ lag }) => number(lag), isNumber: true },
          {
            title: 'Compared',
            of: ({ partition, lag }) =>
              lag === undefined ? (
                ''
              ) : (
                <meter min={0} max={most} value={lag} aria-label={`records waiting in partition ${partition}`} />
              ),
          },
          {
            title: 'State',
            of: (each) =>
              each.lag === undefined ? (
                ''
              ) : each.isSlow ? (
                <Mark kind="warn">slow: the others are ahead</Mark>
              ) : (
                <Mark kind="good">keeps up</Mark>
              ),
          },
        ]}
      />
      <h2>Newest messages</h2>
      <Filters>
        <Choice
          label="Partition"
          name="partition"
          usual=""
          of={[['', 'all'], ...partitions.map(({ partition }) => [partition, partition] as const)]}
        />
      </Filters>
      <Messages topic={topic} partition={query.get('partition')} />
    </>
  );
}

function Messages({ topic, partition }: { readonly topic: string; readonly partition: string | null }) {
  const sent = new URLSearchParams({ limit: String(SHOWN_MESSAGES), ...(partition === null ? {} : { partition }) });
  const asked = useAsked<{ readonly messages: readonly Message[] }>(
    `/console/api/topics/${encodeURIComponent(topic)}/messages?${sent}`,
  );
  return (
    <Loaded asked={asked}>
      {({ messages }) => (
        <Table
          caption="Decoded where they are JSON or text"
          rows={messages}
          keyOf={({ partition: of, offset }) => `${of}/${offset}`}
          empty="Nothing was sent in the last 30 days."
          columns={[
            { title: 'Time', of: ({ at }) => timeOf(at) },
            { title: 'Place', of: ({ partition: of, offset }) => `${of}/${offset}` },
            { title: 'Key', of: ({ key }) => key ?? '' },
            { title: 'Bytes', of: ({ sizeBytes }) => number(sizeBytes), isNumber: true },
            { title: 'Message', of: (message) => <Content of={message} /> },
          ]}
        />
      )}
    </Loaded>
  );
}

const BRIEF = 110;

function Content({ of: { value, sizeBytes, headers } }: { readonly of: Message }) {
  if (value === undefined)
    return <span class="quiet">{sizeBytes === 0 ? 'a tombstone: its key is deleted' : 'bytes that are no text'}</span>;
  const text = shown(value);
  return (
    <details>
      <summary>
        <code>{text.length > BRIEF ? `${text.slice(0, BRIEF)}…` : text}</code>
      </summary>
      <pre>{typeof value === 'string' ? value : JSON.stringify(value, null, 2)}</pre>
      {Object.keys(headers).length === 0 ? null : <pre>{JSON.stringify(headers, null, 2)}</pre>}
    </details>
  );
}
