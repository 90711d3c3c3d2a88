import type { FastifyInstance } from 'fastify';
import { ScheduleNotFoundError } from '../errors.ts';
import { runBackfill } from '../schedules/backfill.ts';
import { rfc3339, type Schedule, type ScheduledTime } from '../schedules/schedule.ts';
import { nextAfter } from '../schedules/scheduler.ts';
import { nextTimes, shownSchedules } from '../schedules/shown_schedules.ts';
import { authorOf, mayOperate, mayRead, type OfWorkflow, type WorkflowApiDeps } from './callers.ts';
import { answers, paramsOf, requests } from './schemas.ts';

interface OfSchedule extends OfWorkflow {
  readonly schedule: string;
}

const SCHEDULE = '/workflows/:workflow/schedules/:schedule';

/** Schedules of a workflow. */
export function registerScheduleRoutes(app: FastifyInstance, deps: WorkflowApiDeps): void {
  const { catalog, workflows, schedules: store, clock } = deps;
  const params = paramsOf('workflow', 'schedule');
  /** @throws {@link ScheduleNotFoundError} also for a schedule of another workflow */
  const find = ({ workflow, schedule }: OfSchedule): Schedule => {
    const found = catalog.schedule(schedule);
    if (found.workflow === workflow) return found;
    throw new ScheduleNotFoundError(schedule, namesOf(workflow));
  };
  const namesOf = (workflow: string) =>
    catalog.schedules.filter((each) => each.workflow === workflow).map(({ name }) => name);
  const shown = async (schedule: Schedule) => shownSchedules([schedule], await store.list())[0];

  app.get<{ Params: OfWorkflow }>(
    '/workflows/:workflow/schedules',
    {
      config: mayRead,
      schema: {
        ...answers.schedules,
        ...{ params: paramsOf('workflow'), summary: 'Schedules of a workflow, with their last and next time' },
      },
    },
    async (request) => {
      const { name } = catalog.get(request.params.workflow);
      const own = catalog.schedules.filter(({ workflow }) => workflow === name);
      return { schedules: shownSchedules(own, await store.list()) };
    },
  );

  app.get<{ Params: OfSchedule; Querystring: { readonly count: number; readonly from?: string } }>(
    `${SCHEDULE}/next`,
    {
      config: mayRead,
      schema: { ...answers.times, params, querystring: requests.times, summary: 'The next times of a schedule' },
    },
    async (request) => {
      const { count, from } = request.query;
      const times = nextTimes(find(request.params), { count, from, nowMs: clock.now() });
      return { times: [...times].map(({ timeMs, date }) => ({ time: rfc3339(timeMs), date })) };
    },
  );

  app.post<{ Params: OfSchedule }>(
    `${SCHEDULE}/pause`,
    {
      config: mayOperate,
      schema: {
        ...answers.changedSchedule,
        ...{ params, body: requests.nothing, summary: 'Let the times of a schedule pass without runs' },
      },
    },
    async (request) => {
      const schedule = find(request.params);
      await store.pause(schedule.name);
      return shown(schedule);
    },
  );

  app.post<{ Params: OfSchedule }>(
    `${SCHEDULE}/resume`,
    {
      config: mayOperate,
      schema: {
        ...answers.changedSchedule,
        ...{ params, body: requests.nothing, summary: 'Run a schedule again, from its next time on' },
      },
    },
    async (request) => {
      const schedule = find(request.params);
      await store.resume(schedule.name, nextAfter(schedule, clock.now()));
      return shown(schedule);
    },
  );

  app.post<{ Params: OfSchedule }>(
    `${SCHEDULE}/trigger`,
    {
      config: mayOperate,
      schema: {
        ...answers.changedRun,
        ...{ params, body: requests.nothing, summary: 'Start a run of a schedule now, whatever its overlap policy' },
      },
    },
    async (request) => {
      const run = catalog.triggeredRun(find(request.params).name, clock.now(), authorOf(request));
      await workflows.startRun(run);
      return workflows.get(run.id);
    },
  );

  app.post<{ Params: OfSchedule; Body: { readonly from: string; readonly to: string } }>(
    `${SCHEDULE}/backfill`,
    {
      config: mayOperate,
      schema: {
        ...answers.backfill,
        ...{ params, body: requests.backfill, summary: 'Run the times of past days that have no run' },
      },
    },
    async (request) => {
      const schedule = find(request.params);
      const { from, to } = request.body;
      const newRun = (time: ScheduledTime) => catalog.scheduledRun(schedule, time, 'backfill', authorOf(request));
      return runBackfill({ store: workflows, newRun }, schedule, { from, to, nowMs: clock.now() });
    },
  );
}
