import { TaskError, task } from '#workflows/tasks/task';
import { type RetrainingState, stepParts } from '../retraining_run.ts';

/** What a run of retraining came to: its output. */
export interface RetrainingReport {
  readonly model: string;
  readonly run: string;
  readonly trigger: string;
  readonly outcome: string;
  readonly reason: string;
  readonly version: number | null;
  readonly champion: number | null;
  readonly rows: number;
  readonly quarantined: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly championMetrics: Readonly<Record<string, number>>;
  readonly approvedBy: string | null;
  readonly promotedAt: string | null;
}

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

const LONGEST_MS = 10_000;

/** Posts the report to the webhooks of the settings. */
export const notifyOfRun = task(
  'model.notify@1',
  async (report: RetrainingReport, context): Promise<RetrainingReport> => {
    const { project } = await stepParts(report.model, context);
    await postReport(project.workflows.notify.webhooks, report, context.signal);
    return report;
  },
);

/**
 * Posts a report to each address, with a key that is the same when the step is tried again: one that has taken it may leave out the second.
 *
 * @throws {@link TaskError} `Notify.Refused` for an address that answers with an error
 */
export async function postReport(
  webhooks: readonly string[],
  report: RetrainingReport,
  signal: AbortSignal,
): Promise<void> {
  for (const [at, url] of webhooks.entries()) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': `${report.run}:${at}` },
      body: JSON.stringify({ event: `retraining.${report.outcome}`, ...report }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]),
    });
    if (answer.ok) continue;
    const cause = `webhook ${at + 1} of workflows.notify.webhooks answers ${answer.status}`;
    throw new TaskError('Notify.Refused', cause);
  }
}
