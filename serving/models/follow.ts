import { z } from 'zod';
import { aliasSchema } from '#registry/names';

/** Which version answers: a stage or an alias of the registry, or one fixed version. */
export const followSchema = z.union([
  z.strictObject({ stage: z.enum(['Production', 'Staging']) }),
  z.strictObject({ alias: aliasSchema }),
  z.strictObject({ version: z.int().positive() }),
]);
export type Follow = z.infer<typeof followSchema>;
