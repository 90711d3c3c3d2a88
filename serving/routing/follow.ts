import { z } from 'zod';

/** Which version answers: a stage or an alias of the registry, or one fixed version. */
export const followSchema = z.union([
  z.strictObject({ stage: z.enum(['Production', 'Staging']) }),
  z.strictObject({ alias: z.string().min(1) }),
  z.strictObject({ version: z.int().positive() }),
]);
export type Follow = z.infer<typeof followSchema>;
