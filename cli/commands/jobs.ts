import { Option } from '@commander-js/extra-typings';
import { JOB_RUNNERS } from '../terminal/choices.ts';
import { resumes } from '../terminal/interrupt.ts';
import type { NewCommand, Program } from './command_group.ts';
import { lazily } from './lazily.ts';
import { NONE, repeated } from './values.ts';

const jobs = () => import('../jobs/jobs.ts');
const JOB = ['<job>', 'name or id of the job'] as const;
const JSON_OPTION = '--json';

/** Where the runner is. */
const ofRunner = (command: NewCommand) =>
  command
    .addOption(new Option('--runner <name>', 'runner').choices(JOB_RUNNERS).default('flink' as const))
    .option('--url <url>', "the runner's REST API (default: http://127.0.0.1:8081)");

const submission = (command: NewCommand) =>
  ofRunner(command)
    .option('--name <name>', 'name of the job (default: that of the pipeline)')
    .option('--option <key=value>', 'option of the pipeline; repeatable', repeated, NONE)
    .option('--job-endpoint <host:port>', "Beam's job server (default: 127.0.0.1:8099)")
    .requiredOption('--environment <where>', 'workers: external:HOST:PORT, process:COMMAND or docker:IMAGE')
    .option('--runner-option <key=value>', 'pipeline option of the runner, in snake case; repeatable', repeated, NONE)
    .option('--savepoint <path>', 'begin from this savepoint')
    .option('--savepoint-directory <folder>', 'folder for the savepoint of the job that is replaced')
    .option('--allow-non-restored', 'drop state of the savepoint that has no transform any more', false)
    .option(JSON_OPTION, 'print the job as JSON', false);

export function registerJobs(program: Program): void {
  const group = program.command('jobs').description('Jobs of pipelines that a runner has');
  const PIPELINE = ['<pipeline>', 'as for pipelines run'] as const;
  resumes(
    submission(
      group
        .command('submit')
        .description('Hand a pipeline to a runner and end; a job that runs under the name with the same graph is kept'),
    )
      .argument(...PIPELINE)
      .option('--update', 'replace a job that runs under the name with another graph, with its state', false)
      .action(lazily(jobs, 'submitJob')),
    'run the command again: a job that runs under the name is kept',
  );
  submission(group.command('update').description('Replace the job that runs under the name, with its state'))
    .argument(...PIPELINE)
    .action(lazily(jobs, 'updateJob'));
  ofRunner(group.command('list').description('List jobs that run, the newest first'))
    .option('--all', 'also those that have ended, as far as the runner keeps them', false)
    .option(JSON_OPTION, 'print a JSON array', false)
    .action(lazily(jobs, 'listJobs'));
  ofRunner(group.command('status').description('Print a job, its transforms, rates, watermarks and snapshots'))
    .argument(...JOB)
    .option(JSON_OPTION, 'print the job as JSON', false)
    .action(lazily(jobs, 'showJob'));
  ofRunner(group.command('drain').description('End a job with its windows closed'))
    .argument(...JOB)
    .action(lazily(jobs, 'drainJob'));
  ofRunner(group.command('stop').description('End a job with its state in a savepoint, and print where that is'))
    .argument(...JOB)
    .option('--savepoint <folder>', "folder for the savepoint (default: the runner's own)")
    .option(JSON_OPTION, 'print the job and its savepoint as JSON', false)
    .action(lazily(jobs, 'stopJob'));
  ofRunner(group.command('cancel').description('End a job at once, without a savepoint'))
    .argument(...JOB)
    .action(lazily(jobs, 'cancelJob'));
  ofRunner(group.command('logs').description('Print the failures of a job and the logs of the machines it runs on'))
    .argument(...JOB)
    .action(lazily(jobs, 'showJobLogs'));
}
