import { readFileSync } from 'node:fs';
import { Command, Help, Option } from '@commander-js/extra-typings';
import { similarName } from '#kernel/known_names';
import { assetPath } from '#kernel/project_root';
import { enterProject } from '../terminal/enter_project.ts';
import type { Program, Register } from './command_group.ts';
import { registerCompletion } from './completion.ts';
import { registerDatasets } from './features/datasets.ts';
import { registerDefinitions } from './features/definitions.ts';
import { registerFeatures } from './features/features.ts';
import { registerHistory } from './features/history.ts';
import { registerOnlineStores } from './features/online_stores.ts';
import { registerWhy } from './features/why.ts';
import { registerJobs } from './jobs.ts';
import { registerLambda } from './lambda.ts';
import { registerModels } from './models/models.ts';
import { registerMonitor } from './models/monitor.ts';
import { registerPredictions } from './models/predictions.ts';
import { registerTraining } from './models/training.ts';
import { registerAudit } from './operations/audit.ts';
import { registerBackup } from './operations/backup.ts';
import { registerDlq } from './operations/dlq.ts';
import { registerEntities } from './operations/entities.ts';
import { registerErrors } from './operations/errors.ts';
import { registerKeys } from './operations/keys.ts';
import { registerLog } from './operations/log.ts';
import { registerObjectStore } from './operations/object_store.ts';
import { registerPipelines } from './pipelines.ts';
import { registerPlatform } from './platform.ts';
import { registerProject } from './project.ts';
import { registerSchedules } from './schedules.ts';
import { registerWorkflows } from './workflows.ts';

/** Files of commands by the heading that `--help` shows them under. Add a file: import its register function and list it here. */
const COMMANDS: Readonly<Record<string, readonly Register[]>> = {
  'Project:': [registerProject],
  'Platform:': [registerPlatform, registerLambda],
  'Features:': [
    registerDefinitions,
    registerFeatures,
    registerHistory,
    registerDatasets,
    registerOnlineStores,
    registerWhy,
  ],
  'Models:': [registerTraining, registerModels, registerPredictions, registerMonitor],
  'Pipelines:': [registerPipelines, registerJobs],
  'Workflows:': [registerWorkflows, registerSchedules],
  'Operations:': [
    registerKeys,
    registerDlq,
    registerLog,
    registerBackup,
    registerAudit,
    registerObjectStore,
    registerEntities,
    registerErrors,
  ],
};

const versionOfPackage = (): string =>
  (JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as { version: string }).version;

/** Describes an option without a default that its absence already says: false, an empty string, an empty list. */
function describeOption(this: Help, option: Option): string {
  const { defaultValue, defaultValueDescription } = option;
  const isPlain = defaultValueDescription === undefined && (defaultValue === false || defaultValue?.length === 0);
  return Help.prototype.optionDescription.call(this, isPlain ? new Option(option.flags, option.description) : option);
}

/** Adds the choice that was probably meant to what commander says of a value that is none. */
function withNearestChoice(message: string): string {
  const [, value, choices] = /argument '(.*)' is invalid\. Allowed choices are (.*)\.\n$/.exec(message) ?? [];
  const meant = value === undefined ? undefined : similarName(value, (choices as string).split(', '));
  return meant === undefined ? message : `${message.trimEnd()} Did you mean "${meant}"?\n`;
}

/** Returns `headwater` with every command. It loads no module that does the work of one. */
export function createProgram(): Program {
  const program = new Command('headwater')
    .description(
      'Real-time machine learning in TypeScript. Configuration: configs/*.yaml and environment variables (docs/configuration.md).',
    )
    .version(versionOfPackage(), '-V, --version', 'print the version')
    .option('-C, --project <folder>', 'run as if started in this folder')
    .option('--debug', 'print stack traces of errors')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help of a command')
    .configureHelp({ optionDescription: describeOption })
    .configureOutput({ outputError: (message, write) => write(withNearestChoice(message)) })
    .hook('preAction', (command) => enterProject(command.opts().project))
    .exitOverride();
  for (const [heading, registers] of Object.entries(COMMANDS)) {
    program.commandsGroup(heading);
    for (const register of registers) register(program);
  }
  program.commandsGroup('Shell:');
  registerCompletion(program);
  return program;
}
