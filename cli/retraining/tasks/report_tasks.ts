import { task } from '#workflows/tasks/task';
import { sendReport } from '../notify.ts';
import { type RetrainingReport, type RetrainingState, stepParts } from '../retraining_run.ts';

/** Sums the run up, and names what it has read and made. */
export const reportRun = task('model.report@1', async (state: RetrainingState, context): Promise<RetrainingReport> => {
  const { project } = await stepParts(state.model, context);
  const report = reportOf(state, context.run);
  context.log(`${report.model} ${report.version ?? ''} is ${report.outcome.replace('_', ' ')}: ${report.reason}`);
  for (const { name, version } of inputsOf(state, report, project.training[state.model]?.service ?? '')) {
    context.reads(name, version);
  }
  if (report.version !== null) context.writes(`models/${state.model}`, report.version);
  return report;
});

/** Returns what a run has read: features, labels with them by their hash, the version in production, and the commit of the code. */
export function inputsOf(
  { set, trained, comparison }: Pick<RetrainingState, 'set' | 'trained' | 'comparison'>,
  { model, champion }: Pick<RetrainingReport, 'model' | 'champion'>,
  service: string,
): readonly { readonly name: string; readonly version?: string | number }[] {
  return [
    { name: `features/${service}` },
    ...(set === undefined ? [] : [{ name: `training_sets/${model}`, version: set.sha256 }]),
    ...(champion === null || comparison === undefined ? [] : [{ name: `models/${model}`, version: champion }]),
    ...(trained?.code === undefined ? [] : [{ name: 'code', version: trained.code }]),
  ];
}

function reportOf(state: RetrainingState, run: string): RetrainingReport {
  const { model, trigger, schedule, set, comparison, version, approval, promoted, ended, watched } = state;
  const by =
    trigger ??
    (schedule === undefined ? undefined : { kind: 'schedule', detail: `${schedule.name} at ${schedule.time}` });
  const { outcome, reason } = ended ?? { outcome: 'promoted', reason: watched?.reason ?? comparison?.reason ?? '' };
  return {
    ...{ model, run, trigger: by === undefined ? 'call' : `${by.kind}: ${by.detail}`, outcome, reason },
    ...{ version: version?.version ?? null, champion: comparison?.champion ?? null },
    ...{ rows: set?.rows ?? 0, quarantined: set?.quarantined ?? 0 },
    ...{ metrics: comparison?.metrics ?? {}, championMetrics: comparison?.championMetrics ?? {} },
    ...{ approvedBy: approval?.by ?? null, promotedAt: promoted?.at ?? null },
  };
}

/** Sends the report to the channels of `workflows.notify`. */
export const notifyOfRun = task(
  'model.notify@1',
  async (report: RetrainingReport, context): Promise<RetrainingReport> => {
    const { project } = await stepParts(report.model, context);
    await sendReport(project.workflows.notify, report, context.signal);
    return report;
  },
);
