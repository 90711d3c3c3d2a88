import type { PipelineProto } from '#pipelines/model/graph';
import * as urns from '#pipelines/model/urns';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
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

/**
 * Transforms that read side inputs: with checkpoints on, Beam 2.62.0 fails at the first snapshot of one (ClassCastException in
 * WindowedValue$FullWindowedValueCoder).
 */
export function transformsWithSideInputs({ components }: PipelineProto): readonly string[] {
  return Object.values(components?.transforms ?? {}).flatMap(({ spec, uniqueName }) => {
    if (spec?.urn !== urns.PAR_DO) return [];
    const { sideInputs } = runnerApi.ParDoPayload.fromBinary(spec.payload);
    return Object.keys(sideInputs).length === 0 ? [] : [uniqueName];
  });
}
