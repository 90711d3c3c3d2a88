import { z } from 'zod';
import { localRegistryConfigSchema } from './local/config.ts';
import { mlflowConfigSchema } from './mlflow/config.ts';

/** Every kind of registry there is: `registry.kind` in configs/*.yaml picks one. */
export const registryConfigSchema = z.discriminatedUnion('kind', [localRegistryConfigSchema, mlflowConfigSchema]);
export type RegistryConfig = z.infer<typeof registryConfigSchema>;
