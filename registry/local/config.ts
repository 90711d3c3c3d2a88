import { z } from 'zod';

export const localRegistryConfigSchema = z.strictObject({ kind: z.literal('local'), directory: z.string().min(1) });
export type LocalRegistryConfig = z.infer<typeof localRegistryConfigSchema>;
