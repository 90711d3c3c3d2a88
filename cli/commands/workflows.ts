import { Option } from '@commander-js/extra-typings';
import type { Program } from './command_group.ts';
import { lazily } from './lazily.ts';
import { BY, BY_TEXT, integer } from './values.ts';

const workflows = () => import('../workflows/workflows.ts');
const worker = () => import('../roles/workflows/workflow_process.ts');
const STATUSES = ['queued', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled'];

export function registerWorkflows(program: Program): void {
  const group = program.command('workflows').description('Workflows and their runs');
  group
    .command('run')
    .description('Start a run of a workflow')
    .argument('<workflow>', 'name of the workflow')
    .option('--input <json>', 'input as JSON, or @FILE', '{}')
    .option('--id <id>', 'id of the run; a run that exists with it is not started again (default: generated)')
    .option('--wait', 'wait for the end of the run; exit code 1 unless it succeeds', false)
    .option('--timeout <seconds>', 'time limit of --wait', integer(1), 3_600)
    .option(BY, BY_TEXT)
    .option('--json', 'print the run as JSON', false)
    .action(lazily(workflows, 'runWorkflow'));
  group
    .command('list')
    .description('List runs, the newest first')
    .option('--workflow <name>', 'runs of this workflow')
    .addOption(new Option('--status <status>', 'runs in this status').choices(STATUSES))
    .option('--limit <count>', 'number of runs', integer(1), 20)
    .option('--json', 'print a JSON array', false)
    .action(lazily(workflows, 'listRuns'));
  group
    .command('history')
    .description('Print what happened in a run')
    .argument('<run>', 'id of the run')
    .option('--json', 'print a JSON array', false)
    .action(lazily(workflows, 'showHistory'));
  group
    .command('logs')
    .description('Print what the steps of a run logged')
    .argument('<run>', 'id of the run')
    .option('--json', 'print a JSON array', false)
    .action(lazily(workflows, 'showLogs'));
  group
    .command('lineage')
    .description('Print what a run has read and made, as OpenLineage events')
    .argument('<run>', 'id of the run')
    .action(lazily(workflows, 'showLineage'));
  group
    .command('redrive')
    .description('Run a failed run again from the states that failed')
    .argument('<run>', 'id of the run')
    .option(BY, BY_TEXT)
    .option('--json', 'print the run as JSON', false)
    .action(lazily(workflows, 'redriveRun'));
  group
    .command('cancel')
    .description('Cancel a run that is queued or runs')
    .argument('<run>', 'id of the run')
    .requiredOption('--reason <text>', 'why, kept in the history')
    .option(BY, BY_TEXT)
    .option('--json', 'print the run as JSON', false)
    .action(lazily(workflows, 'cancelRun'));
  group
    .command('approve')
    .description('Answer a state of a run that waits for approval')
    .argument('<run>', 'id of the run')
    .requiredOption('--reason <text>', 'why, kept in the history')
    .option('--state <name>', 'the state, where several wait')
    .option('--reject', 'fail the state with Approval.Rejected', false)
    .option(BY, BY_TEXT)
    .option('--json', 'print the run as JSON', false)
    .action(lazily(workflows, 'approveRun'));
  group
    .command('worker')
    .description('Run steps of workflows, until SIGINT or SIGTERM')
    .action(lazily(worker, 'runWorker'));
  group
    .command('step')
    .description('Run a step as the Job that a worker has created for it')
    .argument('<key>', 'idempotency key of the step: run:state:attempt')
    .action(lazily(worker, 'runStep'));
  group
    .command('export')
    .description('Print the document of a workflow in the Amazon States Language')
    .argument('<workflow>', 'name of the workflow')
    .action(lazily(workflows, 'exportWorkflow'));
  group
    .command('import')
    .description('Check a document and write it into the project as NAME.asl.json')
    .argument('<file>', 'document in the Amazon States Language')
    .requiredOption('--name <name>', 'name of the workflow')
    .option('--overwrite', 'replace a document of the name', false)
    .action(lazily(workflows, 'importWorkflow'));
}
