import type { Complete, Command as Completed } from '@bomb.sh/tab';
import completeCommands from '@bomb.sh/tab/commander';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { type NameKind, projectNames } from '../completion/project_names.ts';
import { enterProject } from '../terminal/enter_project.ts';
import type { Program } from './command_group.ts';

const DESCRIPTIONS: Readonly<Record<string, readonly [of: string, argument: string]>> = {
  completion: ['Print a script that completes commands, options and values', 'shell that runs the script'],
  complete: ['Print what may follow the words of a command line', 'words after --, the last one unfinished'],
};

/** Arguments and options that are names of the project. */
const ARGUMENTS: Readonly<Record<string, NameKind>> = {
  view: 'views',
  before: 'views',
  after: 'views',
  feature: 'features',
  model: 'models',
  pipeline: 'pipelines',
  workflow: 'workflows',
  schedule: 'schedules',
};
const OPTIONS: Readonly<Record<string, NameKind>> = {
  view: 'views',
  feature: 'features',
  service: 'services',
  model: 'models',
  labels: 'sources',
  workflow: 'workflows',
  topic: 'topics',
};

/** Returns which names of the project an argument of a command takes; undefined when it takes none. Below `models`, a `<name>` is a model's. */
export const kindOfArgument = (command: string, argument: string): NameKind | undefined =>
  command.startsWith('models ') && argument === 'name' ? 'models' : ARGUMENTS[argument];

/** Returns which names of the project an option takes; undefined when it takes none. */
export const kindOfOption = (option: string): NameKind | undefined => OPTIONS[option];

/**
 * Around the script for bash. It defines constants, so it must not run twice in a shell that reads its `.bashrc` again; without the package bash-completion it would call a function
 * that does not exist; and `@`, which is part of the names of views, is no break between words.
 */
const BASH = {
  before: [
    'if ! declare -F __headwater_complete >/dev/null; then',
    'declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {',
    '    words=("$' +
      '{COMP_WORDS[@]}") cword=$COMP_CWORD cur=$' +
      '{COMP_WORDS[COMP_CWORD]} prev=$' +
      '{COMP_WORDS[COMP_CWORD-1]}',
    '}',
  ],
  after: ['COMP_WORDBREAKS="$(printf %s "$COMP_WORDBREAKS" | tr -d @)"', 'fi'],
} as const;

/**
 * Adds `completion SHELL`, which prints a script, and the hidden command that the script calls for suggestions. They are made from the commands that are there, so this comes last.
 */
export function registerCompletion(program: Program): void {
  const completed = completeCommands(program as unknown as Parameters<typeof completeCommands>[0], {
    completionCommandName: 'completion',
  });
  for (const [path, command] of completed.commands) completeNames(path, command);
  for (const command of program.commands) {
    const group = completed.commands.get(command.name());
    const whole = completed.commands.get(`${command.name()} ${defaultOf(command)}`);
    for (const [name, argument] of whole?.arguments ?? []) group?.arguments.set(name, argument);
    for (const [name, option] of whole?.options ?? []) group?.options.set(name, option);
  }
  for (const command of program.commands) {
    const [description, ofArgument] = DESCRIPTIONS[command.name()] ?? [];
    if (description === undefined || ofArgument === undefined) continue;
    command.description(description);
    for (const argument of command.registeredArguments) argument.description = ofArgument;
    if (command.name() !== 'completion') continue;
    for (const [event, lines] of [
      ['preAction', BASH.before],
      ['postAction', BASH.after],
    ] as const) {
      command.hook(event, (_, { processedArgs: [shell] }) => {
        if (shell === 'bash') process.stdout.write(`${lines.join('\n')}\n`);
      });
    }
  }
}

/** Returns the name of the command that a group runs when none is named (`headwater why` is `headwater why value`), which commander keeps to itself. */
const defaultOf = (command: CommandUnknownOpts): string | undefined =>
  (command as unknown as { readonly _defaultCommandName?: string })._defaultCommandName;

/** Completes the arguments and options of a command that are names of the project. */
function completeNames(path: string, command: Completed): void {
  for (const argument of command.arguments.values()) {
    const kind = kindOfArgument(path, argument.name);
    if (kind !== undefined) argument.handler ??= suggestion(kind);
  }
  for (const [name, option] of command.options) {
    const kind = kindOfOption(name);
    if (kind !== undefined && option.isBoolean !== true) option.handler = suggestion(kind);
  }
}

const suggestion =
  (kind: NameKind) =>
  (complete: Complete): void => {
    if (!enterTypedProject()) return;
    for (const name of projectNames(kind)) complete(name, '');
  };

/** Enters the folder that the command line names, as in `headwater -C shop features show`. @returns false for one that cannot be entered, such as one that is not typed to its end */
function enterTypedProject(): boolean {
  const typed = process.argv.slice(process.argv.indexOf('--') + 1);
  const at = typed.findIndex((word) => /^(-C|--project)$/.test(word));
  const folder =
    at < 0 ? typed.find((word) => word.startsWith('--project='))?.slice('--project='.length) : typed[at + 1];
  try {
    enterProject(folder);
    return true;
  } catch {
    return false;
  }
}
