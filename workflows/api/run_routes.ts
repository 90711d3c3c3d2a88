import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { requireScope } from '#connectors/http/access';
import type { JsonValue } from '#kernel/json';
import type { RunRecord, RunStatus } from '#kernel/workflow_runs';
import { approvalRole } from '../document/approval_role.ts';
import { RunNotFoundError } from '../errors.ts';
import { approvalAnswer } from '../tasks/approval.ts';
import { authorOf, mayApprove, mayOperate, mayRead, type OfWorkflow, type WorkflowApiDeps } from './callers.ts';
import { answers, paramsOf, requests } from './schemas.ts';

interface OfRun extends OfWorkflow {
  readonly run: string;
}

const RUN = '/workflows/:workflow/runs/:run';

/** Runs: started, listed, read and changed. */
export function registerRunRoutes(app: FastifyInstance, { catalog, workflows: store }: WorkflowApiDeps): void {
  /** @throws {@link RunNotFoundError} also for a run of another workflow, which the caller may not know */
  const find = async ({ workflow, run }: OfRun): Promise<RunRecord> => {
    const found = await store.get(run);
    if (found.workflow !== workflow) throw new RunNotFoundError(run);
    return found;
  };
  const params = paramsOf('workflow', 'run');

  app.post<{ Params: OfWorkflow; Body: { readonly input?: JsonValue; readonly id?: string } }>(
    '/workflows/:workflow/runs',
    {
      config: mayOperate,
      schema: {
        ...answers.changedRun,
        ...{ params: paramsOf('workflow'), body: requests.start, summary: 'Start a run; the same id starts it once' },
      },
    },
    async (request) => {
      const { input = {}, id = randomUUID() } = request.body;
      await store.startRun(
        catalog.newRun(request.params.workflow, id, input, { kind: 'manual', by: authorOf(request) }),
      );
      return store.get(id);
    },
  );

  app.get<{ Params: OfWorkflow; Querystring: { readonly status?: RunStatus; readonly limit: number } }>(
    '/workflows/:workflow/runs',
    {
      config: mayRead,
      schema: {
        ...answers.runs,
        ...{
          params: paramsOf('workflow'),
          querystring: requests.runs,
          summary: 'Runs of a workflow, the newest first',
        },
      },
    },
    async ({ params: { workflow }, query }) => ({ runs: await store.list({ workflow, ...query }) }),
  );

  app.get<{ Params: OfRun }>(
    RUN,
    { config: mayRead, schema: { ...answers.run, params, summary: 'A run, and the states it is in' } },
    async (request) => find(request.params),
  );

  app.get<{ Params: OfRun }>(
    `${RUN}/history`,
    { config: mayRead, schema: { ...answers.history, params, summary: 'What happened in a run, the oldest first' } },
    async (request) => ({ events: await store.history((await find(request.params)).id) }),
  );

  app.get<{ Params: OfRun; Querystring: { readonly after: number; readonly limit: number } }>(
    `${RUN}/logs`,
    {
      config: mayRead,
      schema: { ...answers.logs, params, querystring: requests.logs, summary: 'What the steps of a run logged' },
    },
    async (request) => {
      const { after, limit } = request.query;
      return { lines: await store.logs((await find(request.params)).id, after, limit) };
    },
  );

  app.get<{ Params: OfRun }>(
    `${RUN}/lineage`,
    { config: mayRead, schema: { ...answers.lineage, params, summary: 'What a run has read and made' } },
    async (request) => store.lineage((await find(request.params)).id),
  );

  app.post<{ Params: OfRun; Body: { readonly reason: string } }>(
    `${RUN}/cancel`,
    {
      config: mayOperate,
      schema: {
        ...answers.changedRun,
        ...{ params, body: requests.cancel, summary: 'Cancel a run that is queued or runs' },
      },
    },
    async (request) => {
      const { id } = await find(request.params);
      await store.cancel(id, authorOf(request), request.body.reason);
      return store.get(id);
    },
  );

  app.post<{ Params: OfRun }>(
    `${RUN}/redrive`,
    {
      config: mayOperate,
      schema: {
        ...answers.changedRun,
        ...{ params, body: requests.nothing, summary: 'Run a failed run again from the states that failed' },
      },
    },
    async (request) => {
      const { id } = await find(request.params);
      await store.redrive(id, authorOf(request));
      return store.get(id);
    },
  );

  app.post<{ Params: OfRun; Body: { readonly reason: string; readonly state?: string; readonly reject: boolean } }>(
    `${RUN}/approve`,
    {
      config: mayApprove,
      schema: {
        ...answers.changedRun,
        ...{ params, body: requests.approve, summary: 'Approve or reject at a state that waits for an answer' },
      },
    },
    async (request) => {
      const { id, at } = await find(request.params);
      const { reason, state, reject } = request.body;
      const document = await store.document(id);
      // Without a name any of the states that wait may be meant.
      for (const waiting of at.filter(
        (each) => each.phase === 'token' && (state === undefined || each.state === state),
      )) {
        const role = approvalRole(document, waiting.state);
        if (role !== undefined) requireScope(request, 'role', role);
      }
      const by = authorOf(request);
      await store.answer({ run: id, state }, approvalAnswer({ by, reason, reject }), by);
      return store.get(id);
    },
  );
}
