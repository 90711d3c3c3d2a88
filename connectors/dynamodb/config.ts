import { z } from 'zod';

export const dynamoDbConfigSchema = z.strictObject({
  region: z.string().min(1),
  /** Another address than AWS's own: an emulator, a VPC endpoint. */
  endpoint: z.url().optional(),
  /** Without them the SDK's usual chain: environment, profile, the function's or machine's role. */
  credentials: z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() }).optional(),
  requestTimeoutMs: z.int().positive().default(3_000),
  /** Before the names of tables. */
  tablePrefix: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'must have 1 to 64 letters, digits, "_", "." or "-"')
    .default('headwater'),
});
export type DynamoDbConfig = z.infer<typeof dynamoDbConfigSchema>;
