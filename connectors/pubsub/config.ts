import { z } from 'zod';

export const pubSubConfigSchema = z.strictObject({
  kind: z.literal('pubsub'),
  projectId: z.string().min(1),
  /** `host:port` of an emulator; otherwise Google's own address, and the usual application default credentials. */
  emulator: z
    .string()
    .regex(/^[^\s:]+:\d+$/, 'must be host:port')
    .optional(),
  /** Each topic is read through the subscription `<topic>-<this>`, made with the topic. */
  subscription: z
    .string()
    .regex(/^[a-zA-Z0-9._~%+-]+$/)
    .default('headwater'),
  /** Records of one key come in order: the key is their ordering key. */
  ordering: z.boolean().default(true),
  /** The subscription itself delivers once. Otherwise it delivers at least once, and readers drop what comes again. */
  exactlyOnce: z.boolean().default(false),
  /** Records with the same value of this attribute are one, within {@link duplicateMemory}; their message ids always are. */
  idAttribute: z.string().min(1).optional(),
  /** Records remembered after they were acknowledged, to know them when they come again. */
  duplicateMemory: z.int().positive().default(100_000),
  /** How long Pub/Sub waits for an acknowledgement; the client extends it while a record is held. */
  ackDeadlineSeconds: z.int().min(1).max(600).default(60),
  /** Records held and not acknowledged, at most: all that comes between two snapshots. */
  mostOutstanding: z.int().positive().default(100_000),
  mostOutstandingBytes: z
    .int()
    .positive()
    .default(256 * 1024 * 1024),
  /** Independent readers of a subscription. */
  readers: z.int().positive().default(1),
  /** Streams of a reader: one while it keeps up, more while messages wait (`subscriber_workers`). */
  mostStreams: z.int().positive().default(4),
  /** Where Pub/Sub itself puts what was delivered too often. */
  deadLetter: z.strictObject({ topic: z.string(), mostDeliveries: z.int().min(5).max(100) }).optional(),
});
export type PubSubConfig = z.infer<typeof pubSubConfigSchema>;
