import type { ScheduleStatus } from '../../../sources.ts';
import { useAsked } from '../../api.ts';
import { Empty, Loaded, Table, timeOf } from '../../parts.tsx';

export function Schedules() {
  const asked = useAsked<{ readonly schedules: readonly ScheduleStatus[] }>('/console/api/schedules');
  return (
    <Loaded asked={asked}>
      {({ schedules }) =>
        schedules.length === 0 ? (
          <Empty>The project has no schedules: headwater.config.ts defines them.</Empty>
        ) : (
          <Table
            caption="Schedules"
            rows={schedules}
            keyOf={({ name }) => name}
            columns={[
              { title: 'Schedule', of: ({ name }) => name },
              { title: 'Workflow', of: ({ workflow }) => workflow },
              { title: 'When', of: ({ when, timeZone }) => `${when} (${timeZone})` },
              { title: 'Status', of: ({ status }) => status },
              { title: 'Last', of: ({ lastTime }) => timeOf(lastTime) },
              { title: 'Next', of: ({ nextTime }) => timeOf(nextTime) },
            ]}
          />
        )
      }
    </Loaded>
  );
}
