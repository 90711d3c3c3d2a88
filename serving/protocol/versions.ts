import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
// The console is compiled with what this module describes: requests have a `caller`.
import type {} from '#connectors/http/access';
import { needs } from '#monitoring/http/routes/route_access';
import type { ModelVersion, Stage } from '#registry/model_registry';
import { InvalidRequestError, UnknownServedModelError } from '../errors.ts';
import { parsedBody } from './requests.ts';
import * as schemas from './schemas.ts';

/** Where a version is moved to, by whom and why. */
export interface Move {
  readonly stage: Extract<Stage, 'Staging' | 'Production' | 'Archived'>;
  readonly by: string;
  readonly reason: string;
  readonly approvedBy?: string | undefined;
}

/** The versions of models in the registry, and their stages; given by the composition root. */
export interface ModelVersions {
  list(model: string): Promise<readonly ModelVersion[]>;
  /** @throws what says why a version may not go there */
  move(model: string, version: number, move: Move): Promise<ModelVersion>;
}

const moveSchema = z.strictObject({
  stage: z.enum(['Staging', 'Production', 'Archived']),
  reason: z.string().min(1, 'say why: it is kept'),
  approvedBy: z.string().optional(),
});

/** Moves a version as a request says. @param body - stage, reason, and who approves it where approval is required */
export function moveAsked(
  versions: Pick<ModelVersions, 'move'>,
  { name, version }: { readonly name: string; readonly version: string },
  body: unknown,
  by: string,
): Promise<ModelVersion> {
  if (!/^[1-9]\d{0,8}$/.test(version)) throw new InvalidRequestError('a version is a number from 1 on, in digits');
  return versions.move(name, Number(version), { ...parsedBody(moveSchema, body ?? {}), by });
}

/** GET /models/NAME/versions, POST /models/NAME/versions/VERSION/stage. */
export function registerVersionRoutes(app: FastifyInstance, versions: ModelVersions): void {
  const shown = { access: needs(({ name }) => [`predict:${name}`, `promote:${name}`, 'console:read']) };
  app.get<{ Params: { name: string } }>(
    '/models/:name/versions',
    { schema: schemas.listVersions, config: shown },
    async ({ params }) => {
      const listed = await versions.list(params.name);
      if (listed.length === 0) throw new UnknownServedModelError(params.name, []);
      return { versions: listed };
    },
  );
  const moved = { access: needs(({ name }) => `promote:${name}`), ownOriginOnly: true };
  app.post<{ Params: { name: string; version: string } }>(
    '/models/:name/versions/:version/stage',
    { schema: schemas.moveVersion, config: moved },
    async ({ params, body, caller }) => moveAsked(versions, params, body, caller),
  );
}
