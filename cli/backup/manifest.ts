import { z } from 'zod';

const storedBytes = {
  objects: z.array(z.string()).readonly(),
  bytes: z.int().nonnegative(),
  sha256: z.string(),
};

const fileSchema = z.strictObject({
  /** From the part's folder, with `/`. */
  path: z.string(),
  /** Milliseconds since the epoch: a file with the same time and length is not read again. */
  mtimeMs: z.number(),
  ...storedBytes,
});
export type StoredFile = z.infer<typeof fileSchema>;

const partSchema = z.strictObject({
  name: z.string(),
  files: z.array(fileSchema),
  /** Folders, also empty ones: PostgreSQL's files need them. */
  folders: z.array(z.string()),
});
export type StoredPart = z.infer<typeof partSchema>;

const offset = z.string().regex(/^-?\d+$/);

/** What a backup is made of. It is written last: a backup without one does not exist. */
export const manifestSchema = z.strictObject({
  format: z.literal(1),
  id: z.string(),
  /** ISO 8601. Everything that was accepted before is in the backup. */
  startedAt: z.string(),
  finishedAt: z.string(),
  /** Of the package that wrote it. */
  version: z.string(),
  /** As `headwater config` prints it: without secrets. */
  configuration: z.unknown(),
  /** Fingerprints of feature services and views, by id. */
  definitions: z.record(z.string(), z.string()),
  parts: z.array(partSchema),
  postgres: z
    .strictObject({
      /** Where the base backup begins in the write-ahead log. */
      lsn: z.string(),
      /** The first segment that recovery needs. */
      segment: z.string(),
      base: z.strictObject(storedBytes),
    })
    .optional(),
  /** By topic and partition, the first offset and the one after the last that are stored. */
  topics: z.record(z.string(), z.record(z.string(), z.strictObject({ first: offset, end: offset }))),
  /** Committed positions of the feature pipeline, by topic and partition. */
  committed: z.record(z.string(), z.record(z.string(), z.string())),
  /** Names of the newest snapshot's files. */
  snapshots: z.array(z.string()),
  /** Versions by model: stage, aliases and tags. */
  registry: z.record(
    z.string(),
    z.array(
      z.strictObject({
        version: z.int(),
        stage: z.string(),
        aliases: z.array(z.string()),
        tags: z.record(z.string(), z.string()),
      }),
    ),
  ),
  /** Rows of each table when the backup began. */
  rows: z.record(z.string(), z.int().nonnegative()),
});
export type Manifest = z.infer<typeof manifestSchema>;
