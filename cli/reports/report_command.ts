import { DAY_MS, systemClock } from '#kernel/time';
import { withOffline } from '../parts/with_offline.ts';
import { definitionsOf, loadProject } from '../project/project.ts';
import { print } from '../terminal/print.ts';
import { reportOfDays } from './weekly_report.ts';
import { writeReport } from './write_report.ts';

export interface ReportOptions {
  readonly out: string;
  readonly days: number;
}

/** `headwater report write`: models and data of the last days, as a page and as Markdown with pictures. */
export async function writeDaysReport({ out, days }: ReportOptions): Promise<void> {
  const project = await loadProject();
  const nowMs = systemClock.now();
  const subjects = { views: definitionsOf(project).views, models: project.serving.models.map(({ name }) => name) };
  const page = await withOffline(project, (offline) => reportOfDays(offline, subjects, { nowMs, days }));
  const folder = out.replaceAll('{date}', new Date(nowMs).toISOString().slice(0, 10));
  print(`models and data since ${new Date(nowMs - days * DAY_MS).toISOString()}: ${await writeReport(folder, page)}`);
}
