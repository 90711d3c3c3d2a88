import type { Lineage } from '../../../answers.ts';
import type { PipelineStatus } from '../../../sources.ts';
import { useAsked } from '../../api.ts';
import { lazy } from '../../lazy.tsx';
import { Loaded, Mark, number, span, Table } from '../../parts.tsx';
import { linkTo } from '../../router.ts';

const LATE_SECONDS = 120;
const MANY_RECORDS = 10_000;
const Flow = lazy<{ readonly of: Lineage; readonly label: string }>(async () => (await import('../../graph.tsx')).Flow);

/** Nothing that waits is nothing to worry about, however long ago the newest event was: a watermark stands still without events. */
const isBehind = ({ lag, watermarkLagSeconds: behind }: PipelineStatus): boolean =>
  lag > MANY_RECORDS || (lag > 0 && behind !== undefined && behind > LATE_SECONDS);

/** The jobs, how far they are behind, and what they read and write. */
export function Pipelines() {
  const asked = useAsked<{ readonly pipelines: readonly PipelineStatus[] }>('/console/api/pipelines');
  return (
    <Loaded asked={asked}>
      {({ pipelines }) => (
        <>
          <ul class="figures">
            {pipelines.map((each) => (
              <li key={each.name}>
                {each.name}
                <b class={isBehind(each) ? 'warn' : ''}>{number(each.lag)} records behind</b>
                <span>
                  {isBehind(each) ? (
                    <Mark kind="warn">watermark {span(each.watermarkLagSeconds)} behind now</Mark>
                  ) : (
                    <Mark kind="good">{each.lag === 0 ? 'waits for events' : 'keeps up'}</Mark>
                  )}
                </span>
              </li>
            ))}
          </ul>
          <Flow of={flowOf(pipelines)} label="What the jobs read and write" />
          {pipelines.map(({ name, topic, group, partitions }) => (
            <section key={name}>
              <h2>{name}</h2>
              <p>
                Reads <a href={linkTo(['topics', topic])}>{topic}</a> as <code>{group}</code>
              </p>
              <Table
                caption={`Partitions of ${topic}`}
                rows={partitions}
                keyOf={({ partition }) => partition}
                columns={[
                  {
                    title: 'Partition',
                    of: ({ partition }) => <a href={linkTo(['topics', topic], { partition })}>{partition}</a>,
                  },
                  { title: 'Records behind', of: ({ lag }) => number(lag), isNumber: true },
                ]}
              />
            </section>
          ))}
        </>
      )}
    </Loaded>
  );
}

/** Topics, jobs and stores; what waits is part of a job's name. */
function flowOf(pipelines: readonly PipelineStatus[]): Lineage {
  const outputs = [
    ['the stores', 'entities'],
    ['drift and live quality', 'drift'],
  ] as const;
  return {
    nodes: pipelines.flatMap(({ name, topic }, index) => {
      const [store, link] = outputs[index] ?? outputs[0];
      return [
        { id: `topic ${topic}`, kind: 'topic', label: topic, link: `topics/${topic}` },
        { id: `job ${name}`, kind: 'job', label: name, link: 'pipelines' },
        { id: `store ${name}`, kind: 'written', label: store, link },
      ];
    }),
    edges: pipelines.flatMap(({ name, topic }) => [
      [`topic ${topic}`, `job ${name}`] as const,
      [`job ${name}`, `store ${name}`] as const,
    ]),
  };
}
