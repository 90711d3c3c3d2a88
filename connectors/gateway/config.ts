import { z } from 'zod';
import { tlsSchema } from '#monitoring/http/tls_config';
import { accessSettings } from '../http/config.ts';

const megabytes = (count: number): number => count * 1024 * 1024;

export const gatewayConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8_080),
  /** Largest body of one event, bytes, after decompression. */
  maxBodyBytes: z.int().positive().default(megabytes(1)),
  maxBatchBodyBytes: z.int().positive().default(megabytes(16)),
  /** Most events of one request. */
  maxBatchItems: z.int().positive().default(10_000),
  /** Largest record, bytes, with key, headers and what the gateway adds; no more than every broker on the way takes. Also cuts dead letters. */
  maxRecordBytes: z.int().min(1_024).default(1_000_000),
  /** From this size on, bytes, the answer to a batch names index, status and code of an event only. */
  maxAnswerBytes: z.int().positive().default(megabytes(1)),
  /** Event ids remembered for answering a repeated event, the newest; half of so many at least. */
  rememberedIds: z.int().positive().default(200_000),
  ...accessSettings,
  tls: tlsSchema.optional(),
  /** Event types that no schema is known for: `accept` passes them on as they are, if they have an id and a time. */
  unknownEventTypes: z.enum(['reject', 'accept']).default('reject'),
  /** Where events wait on disk while the broker is away; absent: they are refused with 503. */
  spool: z
    .strictObject({
      directory: z.string().min(1),
      maxBytes: z.int().positive().default(megabytes(1_024)),
      /** A send that takes longer counts as failed, ms. */
      sendTimeoutMs: z.int().positive().default(3_000),
    })
    .optional(),
});
export type GatewayConfig = z.infer<typeof gatewayConfigSchema>;
export type SpoolConfig = NonNullable<GatewayConfig['spool']>;
