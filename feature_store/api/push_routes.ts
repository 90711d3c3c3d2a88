import type { FastifyInstance } from 'fastify';
import { hasScope } from '#connectors/http/access';
import { ForbiddenError } from '#connectors/http/errors';
import { needsSome } from '#monitoring/http/routes/route_access';
import type { PushRows } from '../push/push_rows.ts';
import { NotPushedError } from './errors.ts';
import { answers } from './schemas.ts';

interface PushBody {
  readonly view: string;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

const MOST_ROWS = 1_000;
const ACTION = 'push';

/** POST /features/push: rows of views that are computed elsewhere. */
export function registerPushRoutes(app: FastifyInstance, pushes: ReadonlyMap<string, PushRows>): void {
  app.post<{ Body: PushBody }>(
    '/features/push',
    {
      config: { access: needsSome(ACTION) },
      schema: {
        ...answers.push,
        summary: 'Writes rows of a view of mode push into both stores; those that are refused are named',
        body: {
          type: 'object',
          required: ['view', 'rows'],
          additionalProperties: false,
          examples: [{ view: 'risk@1', rows: [{ user_id: 'u1', timestamp: '2026-11-28T12:00:00Z', score: 0.7 }] }],
          properties: {
            view: { type: 'string', minLength: 1, description: 'As name@version' },
            rows: {
              type: 'array',
              minItems: 1,
              maxItems: MOST_ROWS,
              description: 'Each with the fields of the view’s source',
              items: { type: 'object', additionalProperties: true },
            },
          },
        },
      },
    },
    async (request) => {
      const { view, rows } = request.body;
      if (!hasScope(request, ACTION, view)) throw new ForbiddenError(`${ACTION}:${view}`);
      const push = pushes.get(view);
      if (push === undefined) throw new NotPushedError(view, [...pushes.keys()]);
      return { view, ...(await push.push(rows)) };
    },
  );
}
