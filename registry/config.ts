import { z } from 'zod';
import { extensionSchema } from '#configs/extension';
import { localRegistryConfigSchema } from './local/config.ts';
import { mlflowConfigSchema } from './mlflow/config.ts';

/** Every kind of registry there is: `registry.kind` in configs/*.yaml picks one. */
export const registryConfigSchema = z.discriminatedUnion('kind', [
  localRegistryConfigSchema,
  mlflowConfigSchema,
  extensionSchema,
]);
/** Settings of the registry. */
export type RegistryConfig = z.infer<typeof registryConfigSchema>;
