import { RAW_PREFIX } from '../parts/archive_folder.ts';

/** Prefixes below `objectStore.directory`. */
export const PREFIXES = {
  /** The archive of raw events, where `archive.enabled`. */
  raw: RAW_PREFIX,
  /** Training sets. */
  processed: 'processed',
  /** Rows of views that are exported. */
  features: 'features',
  /** How models were judged. */
  validation: 'validation',
  /** Models as they were trained. */
  training: 'training',
  /** The version of each model that answers. */
  production: 'production',
  /** Versions that have answered. */
  archive: 'archive',
  /** A file of each version, and the catalogue of schemas. */
  metadata: 'metadata',
  /** By kind and day; kept for `objectStore.keepLogs`. */
  logs: 'logs',
} as const;
