import { withOffline } from '../parts/with_offline.ts';
import { loadProject } from '../project/project.ts';
import { print } from '../terminal/print.ts';
import { hasWork, makePlan, type Plan, type PlannedBackfill, type PlanOptions } from './plan_contents.ts';

export interface PlanCommand extends PlanOptions {
  readonly json: boolean;
  readonly detailedExitcode: boolean;
}

/** With `--detailed-exitcode`, as terraform has it: 0 nothing, 1 an error, 2 changes. */
const CHANGES = 2;

/** `headwater plan`: what the definitions of the code need, compared with those of the platform. Changes nothing. */
export async function plan({ json, detailedExitcode, ...options }: PlanCommand): Promise<void> {
  const project = await loadProject();
  const made = await withOffline(project, (offline) => makePlan(offline, project, options));
  if (json) print(JSON.stringify(made));
  else for (const line of describePlan(made)) print(line);
  if (detailedExitcode && hasWork(made)) process.exitCode = CHANGES;
}

const SIGNS = { new: '+', changed: '~', removed: '-' } as const;
const KINDS = { view: 'view', on_demand: 'on-demand view', service: 'service' } as const;

/** Returns a plan for people, line by line. */
export function describePlan(plan: Plan): readonly string[] {
  const lines: string[] = [];
  for (const { kind, id, change, breaking, differences, services, models } of plan.changes) {
    lines.push(`${SIGNS[change]} ${KINDS[kind]} ${id}: ${change}${breaking ? ', breaking' : ''}`);
    for (const difference of differences) lines.push(`    ${difference}`);
    if (services.length > 0) lines.push(`    services: ${services.join(', ')}`);
    if (models.length > 0) lines.push(`    models: ${models.join(', ')}`);
  }
  for (const backfill of plan.backfills) lines.push(`  ${describeBackfill(backfill)}`);
  for (const { model, problems } of plan.refused_models) {
    lines.push(`! ${model} would be refused: it was trained on other definitions`);
    for (const problem of problems) lines.push(`    ${problem}`);
  }
  for (const note of plan.notes) lines.push(`note: ${note}`);
  if (plan.apply !== undefined) {
    const { pid, host } = plan.apply.owner;
    lines.push(
      `an apply of process ${pid} on ${host} runs or was interrupted; headwater apply resumes one that was interrupted`,
    );
  }
  const breaking = plan.changes.filter((change) => change.breaking).length;
  const count = plan.changes.length;
  lines.push(
    count === 0
      ? 'nothing to apply: the definitions of the code are those that were applied'
      : `${count} ${count === 1 ? 'change' : 'changes'}, ${breaking} breaking; headwater apply does ${count === 1 ? 'it' : 'them'}`,
  );
  return lines;
}

/** Returns what a back-fill computes: views, or features of views. */
export const describeTarget = ({
  views,
  features,
}: {
  readonly views: readonly string[];
  readonly features?: PlannedBackfill['features'] | undefined;
}): string => views.map((id) => (features?.[id] === undefined ? id : `${features[id].join(', ')} of ${id}`)).join('; ');

function describeBackfill(backfill: PlannedBackfill): string {
  const { views, source, from, possible, range, estimated_events: events, estimated_seconds: seconds } = backfill;
  const of = describeTarget({ views, features: backfill.features });
  if (!possible) return `no back-fill of ${of}: ${from}. Values are of what comes from now on`;
  const reach = range === undefined ? '' : `, ${range.from} to ${range.to}`;
  const size = events === undefined ? 'an unknown number of events' : `about ${events.toLocaleString('en')} events`;
  const duration =
    seconds === undefined
      ? ''
      : `, about ${describeSeconds(seconds)}${backfill.measured ? '' : ' (assumed: no back-fill was measured here)'}`;
  return `back-fill of ${of} (source ${source}) from ${from}${reach}: ${size}${duration}`;
}

const describeSeconds = (seconds: number): string =>
  seconds < 120
    ? `${seconds} s`
    : seconds < 7_200
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3_600)} h`;
