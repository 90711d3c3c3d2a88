import type { AlertStatus, Overview } from '../../../answers.ts';

import { useAsked } from '../../api.ts';
import { Loaded, Mark, Table, timeOf } from '../../parts.tsx';

/** What fires, what is about to, and how each dependency and job does. */
export function Alerts() {
  const links = useAsked<{ readonly grafana?: string }>('/console/api/links');
  const asked = useAsked<{ readonly alerts: readonly AlertStatus[] }>('/console/api/alerts');
  return (
    <>
      {links.data?.grafana === undefined ? null : (
        <p>
          <a href={links.data.grafana}>Dashboards in Grafana</a>
        </p>
      )}
      <Loaded asked={asked}>
        {({ alerts }) => (
          <Table
            caption="Alerts, those that fire first"
            rows={[...alerts].sort((a, b) => rank(a) - rank(b))}
            keyOf={({ name, summary }) => `${name} ${summary}`}
            empty={<Mark kind="good">No alert fires.</Mark>}
            columns={[
              {
                title: 'Alert',
                of: ({ name, severity }) => <Mark kind={severity === 'critical' ? 'bad' : 'warn'}>{name}</Mark>,
              },
              { title: 'Severity', of: ({ severity }) => severity },
              { title: 'State', of: ({ state }) => state },
              { title: 'What', of: ({ summary }) => summary },
              { title: 'Since', of: ({ since }) => timeOf(since) },
              { title: 'What to do', of: ({ runbook }) => <code>{runbook}</code> },
            ]}
          />
        )}
      </Loaded>
      <Parts />
    </>
  );
}

const rank = ({ state, severity }: AlertStatus): number =>
  (state === 'firing' ? 0 : 2) + (severity === 'critical' ? 0 : 1);

function Parts() {
  const asked = useAsked<Overview>('/console/api/overview');
  return (
    <>
      <h2>Dependencies and jobs</h2>
      <Loaded asked={asked}>
        {({ parts }) => (
          <Table
            caption="As this process sees them"
            rows={parts}
            keyOf={({ name }) => name}
            columns={[
              { title: 'Name', of: ({ name }) => name },
              { title: 'Kind', of: ({ kind }) => kind },
              {
                title: 'State',
                of: ({ status }) => (
                  <Mark
                    kind={
                      status === 'up' ? 'good' : status === 'down' ? 'bad' : status === 'degraded' ? 'warn' : 'quiet'
                    }
                  >
                    {status}
                  </Mark>
                ),
              },
              { title: 'Reason', of: ({ reason }) => reason ?? '' },
            ]}
          />
        )}
      </Loaded>
    </>
  );
}
