import type { FastifyInstance } from 'fastify';
// The console is compiled with what this module describes: requests have a `caller`.
import type {} from '#connectors/http/access';
import { needs } from '#monitoring/http/routes/route_access';
import type { ModelVersion, Stage } from '#registry/model_registry';
import { UnknownServedModelError } from '../errors.ts';
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

/** Names a version; by {@link schemas.moveVersion}. */
export interface VersionParams {
  readonly name: string;
  readonly version: number;
}

/** Says where a version is moved to; by {@link schemas.moveVersion}. */
export type MoveBody = Omit<Move, 'by'>;

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
  app.post<{ Params: VersionParams; Body: MoveBody }>(
    '/models/:name/versions/:version/stage',
    { schema: schemas.moveVersion, config: moved },
    async ({ params, body, caller }) => versions.move(params.name, params.version, { ...body, by: caller }),
  );
}
