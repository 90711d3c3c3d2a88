import type { OptionValue } from './job_client.ts';

/**
 * What every job on Flink needs. Without `finish_bundle_before_checkpointing`, Beam's Flink runner keeps a bundle open across a
 * checkpoint, and what it outputs when the sources have ended is lost (seen with Beam 2.62.0 on Flink 1.19): the last panes never
 * come.
 */
export const FLINK_DEFAULTS: Readonly<Record<string, OptionValue>> = {
  finish_bundle_before_checkpointing: true,
};
