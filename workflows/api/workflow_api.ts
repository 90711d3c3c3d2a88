import type { FastifyInstance } from 'fastify';
import { hasScope } from '#connectors/http/access';
import { needsSome } from '#monitoring/http/routes/route_access';
import { mayRead, type OfWorkflow, type WorkflowApiDeps } from './callers.ts';
import { registerRunRoutes } from './run_routes.ts';
import { registerScheduleRoutes } from './schedule_routes.ts';
import { answers, paramsOf } from './schemas.ts';

/** Routes of workflows, their runs and schedules. */
export function registerWorkflowApi(app: FastifyInstance, deps: WorkflowApiDeps): void {
  const { catalog } = deps;
  app.get(
    '/workflows',
    {
      config: { access: needsSome('workflows') },
      schema: { ...answers.workflows, summary: 'Workflows of the project that the caller may read' },
    },
    async (request) => ({
      workflows: catalog.names
        .filter((name) => hasScope(request, 'workflows', name))
        .map((name) => ({
          name,
          settings: catalog.get(name).settings,
          schedules: catalog.schedules.filter(({ workflow }) => workflow === name).map((schedule) => schedule.name),
        })),
    }),
  );
  app.get<{ Params: OfWorkflow }>(
    '/workflows/:workflow',
    {
      config: mayRead,
      schema: {
        ...answers.document,
        params: paramsOf('workflow'),
        summary: 'Document of a workflow, in the Amazon States Language',
      },
    },
    async ({ params }) => ({ name: params.workflow, document: catalog.get(params.workflow).document }),
  );
  registerRunRoutes(app, deps);
  registerScheduleRoutes(app, deps);
}
