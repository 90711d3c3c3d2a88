import type { AlertStatus } from '../../sources.ts';
import { useAsked } from '../api.ts';
import { Loaded, Table } from '../parts.tsx';

export function Alerts() {
  const links = useAsked<{ readonly grafana?: string }>('/console/api/links');
  return (
    <>
      {links.data?.grafana === undefined ? null : (
        <p>
          <a href={links.data.grafana}>Dashboards in Grafana</a>
        </p>
      )}
      <Firing />
    </>
  );
}

function Firing() {
  const asked = useAsked<{ readonly alerts: readonly AlertStatus[] | null }>('/console/api/alerts');
  return (
    <Loaded asked={asked}>
      {({ alerts }) =>
        alerts === null ? (
          <p class="quiet">Prometheus knows of alerts: set PROMETHEUS_URL, or serving.console.prometheusUrl.</p>
        ) : alerts.length === 0 ? (
          <p class="good">Nothing is wrong.</p>
        ) : (
          <Table
            caption="Alerts"
            rows={alerts}
            keyOf={({ name, summary }) => `${name} ${summary}`}
            columns={[
              {
                title: 'Severity',
                of: ({ severity }) => <b class={severity === 'critical' ? 'bad' : 'warn'}>{severity}</b>,
              },
              { title: 'Alert', of: ({ name }) => name },
              { title: 'State', of: ({ state }) => state },
              { title: 'What', of: ({ summary }) => summary },
              { title: 'Since', of: ({ since }) => new Date(since).toLocaleString() },
              { title: 'What to do', of: ({ runbook }) => <code>{runbook}</code> },
            ]}
          />
        )
      }
    </Loaded>
  );
}
