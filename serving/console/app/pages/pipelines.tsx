import type { PipelineStatus } from '../../sources.ts';
import { useAsked } from '../api.ts';
import { Loaded, number, span, Table } from '../parts.tsx';

const LATE_SECONDS = 120;

export function Pipelines() {
  const asked = useAsked<{ readonly pipelines: readonly PipelineStatus[] }>('/console/api/pipelines');
  return (
    <Loaded asked={asked}>
      {({ pipelines }) => (
        <>
          <ul class="figures">
            {pipelines.map(({ name, lag, watermarkLagSeconds: behind }) => (
              <li key={name}>
                {name}
                <b class={lag > 10_000 ? 'bad' : 'good'}>{number(lag)} records behind</b>
                <span class={behind !== undefined && behind > LATE_SECONDS ? 'bad' : 'quiet'}>
                  {behind === undefined ? 'watermark not known here' : `watermark ${span(behind)} behind now`}
                </span>
              </li>
            ))}
          </ul>
          {pipelines.map(({ name, topic, group, partitions }) => (
            <section key={name}>
              <h2>{name}</h2>
              <Table
                caption={`Partitions of ${topic}, read by ${group}`}
                rows={partitions}
                keyOf={({ partition }) => partition}
                columns={[
                  { title: 'Partition', of: ({ partition }) => partition },
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
