import { z } from 'zod';
import { COMPRESSIONS } from './protocol/compressions.ts';

const sasl = z.discriminatedUnion('mechanism', [
  z.strictObject({ mechanism: z.literal('plain'), username: z.string(), password: z.string() }),
  z.strictObject({ mechanism: z.literal('scram-sha-256'), username: z.string(), password: z.string() }),
  z.strictObject({ mechanism: z.literal('scram-sha-512'), username: z.string(), password: z.string() }),
  /** Tokens by the client-credentials grant (RFC 6749, 4.4), fetched again before they expire. */
  z.strictObject({
    mechanism: z.literal('oauthbearer'),
    tokenUrl: z.url(),
    clientId: z.string(),
    clientSecret: z.string(),
    scope: z.string().optional(),
  }),
]);
export type KafkaSasl = z.infer<typeof sasl>;

/** Files in PEM. */
const tls = z.union([
  z.boolean(),
  z.strictObject({
    /** Authorities to trust instead of the system's. */
    ca: z.string().optional(),
    /** The client's own certificate and key, for brokers that require one. */
    cert: z.string().optional(),
    key: z.string().optional(),
    /** The name that the broker's certificate must have, when it is not the one connected to. */
    serverName: z.string().optional(),
  }),
]);
export type KafkaTls = z.infer<typeof tls>;

export const kafkaConfigSchema = z.strictObject({
  kind: z.literal('kafka'),
  /** `host:port` of any brokers of the cluster. */
  brokers: z.array(z.string().regex(/^[^\s:]+:\d+$/, 'must be host:port')).min(1),
  clientId: z.string().default('headwater'),
  tls: tls.default(false),
  sasl: sasl.optional(),
  connectionTimeoutMs: z.int().positive().default(3_000),
  requestTimeoutMs: z.int().positive().default(30_000),
  /** A record that could not be delivered for so long is given up, ms. */
  deliveryTimeoutMs: z.int().positive().default(30_000),
  /** Largest batch of a partition, bytes; no more than the topics' max.message.bytes. */
  batchBytes: z.int().positive().default(900_000),
  /** How batches are packed; readers find out by themselves. */
  compression: z.enum(COMPRESSIONS).default('none'),
  /** What is known of topics is looked up again after so long: partitions that were added are found then, ms. */
  metadataMaxAgeMs: z.int().positive().default(60_000),
  /** Largest record, bytes, with key and headers; no more than the topics' max.message.bytes. A larger one is refused alone, before it is sent. */
  maxRecordBytes: z.int().positive().default(1_048_588),
  replicationFactor: z.int().positive().default(1),
  /** Largest answer of one fetch, bytes. */
  fetchBytes: z
    .int()
    .positive()
    .default(4 * 1024 * 1024),
});
export type KafkaConfig = z.infer<typeof kafkaConfigSchema>;
