import type { Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { integer, versionNumber } from '../values.ts';

export function registerMonitor(program: Program): void {
  const monitor = program.command('monitor').description('Monitoring of served models');
  monitor
    .command('report')
    .description('Compare predictions with the training data by window, as an HTML page')
    .argument('[model]', 'model (default: every served model)')
    .option('--model-version <n>', 'version (default: that of the newest window)', versionNumber)
    .option('--since <time>', 'windows at or after this time, ISO 8601')
    .option(
      '--out <file>',
      'target file, local or s3://, with {model} and {date} filled in (default: {model}-monitoring.html)',
    )
    .option('--json', 'print a JSON array of windows instead', false)
    .action(lazily(() => import('../../models/monitor_report.ts'), 'reportOnModels'));
  program
    .command('report')
    .description('Reports of models and data')
    .command('write')
    .description(
      'Write a report of the last days: models, drift, data and contracts with charts, as HTML and as Markdown with pictures',
    )
    .requiredOption('--out <folder>', 'target folder, local or s3://, with {date} filled in')
    .option('--days <n>', 'days until now', integer(1), 7)
    .action(lazily(() => import('../../reports/report_command.ts'), 'writeDaysReport'));
}
