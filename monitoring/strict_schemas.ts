import AjvCompiler from '@fastify/ajv-compiler';
import type { FastifyInstance, FastifySchema } from 'fastify';
import type { FastifyRouteSchemaDef } from 'fastify/types/schema.js';

/**
 * Lets bodies in only as their schemas have them: nothing is converted to another type, no field is dropped in silence. What is in a URL is text,
 * and is read as the type that the schema names. Every mistake is named.
 */
export function acceptExactlyWhatSchemasSay(app: FastifyInstance): void {
  const factory = AjvCompiler();
  const shared = { removeAdditional: false, useDefaults: true, allErrors: true } as const;
  const exact = factory({}, { customOptions: { ...shared, coerceTypes: false } });
  const ofText = factory({}, { customOptions: { ...shared, coerceTypes: 'array' } });
  app.setValidatorCompiler((route: FastifyRouteSchemaDef<FastifySchema>) =>
    (route.httpPart === 'body' ? exact : ofText)(route as never),
  );
}
