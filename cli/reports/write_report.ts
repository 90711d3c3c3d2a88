import { pathIn } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import type { ReportPage } from '#registry/evaluation/report';

/**
 * Writes a report with charts: `report.html`, a page that stands alone, and `report.md` with its pictures beside it.
 *
 * @param folder - local, or s3://bucket/prefix
 * @returns the path of the page
 */
export async function writeReport(folder: string, page: ReportPage): Promise<string> {
  // With what draws charts, which a module of workflows does not need until then.
  const { reportMarkdown, reportPage } = await import('#registry/evaluation/report');
  const files = createFileSystems()(folder);
  const { text, pictures } = await reportMarkdown(page);
  for (const [name, svg] of pictures) await files.write(pathIn(folder, name), Buffer.from(svg));
  await files.write(pathIn(folder, 'report.md'), Buffer.from(text));
  const path = pathIn(folder, 'report.html');
  await files.write(path, Buffer.from(await reportPage(page)));
  return path;
}
