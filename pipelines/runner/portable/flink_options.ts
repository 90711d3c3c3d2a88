import type { OptionValue } from './job_client.ts';

/**
 * What every job on Flink needs (seen with Beam 2.62.0 on Flink 1.19):
 * - Without `finish_bundle_before_checkpointing`, the runner keeps a bundle open across a checkpoint, and what it outputs when the
 *   sources have ended is lost: the last panes never come.
 * - A timer that is set in a bundle is known to Flink when the bundle ends. A bundle stays open for
 *   `max_bundle_time_mills`, by default 10 s: so timers come late, and those that a bundle sets just before its input
 *   ends never come.
 * - Its batch mode has no bundle finalisation (offset commits), and fires event-time timers at the end only: bounded pipelines run
 *   in streaming mode too.
 */
export const FLINK_DEFAULTS: Readonly<Record<string, OptionValue>> = {
  streaming: true,
  finish_bundle_before_checkpointing: true,
  max_bundle_time_mills: 50,
};
