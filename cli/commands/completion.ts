import tab from '@bomb.sh/tab/commander';
import type { Command } from 'commander';
import type { Program } from './command_group.ts';

const DESCRIPTIONS: Readonly<Record<string, readonly [of: string, argument: string]>> = {
  completion: ['Print a script that completes commands, options and values', 'shell that runs the script'],
  complete: ['Print what may follow the words of a command line', 'words after --, the last one unfinished'],
};

/**
 * Adds `completion SHELL`, which prints a script, and the hidden command that the script calls for suggestions. They are made from the commands that are there, so this comes last.
 */
export function registerCompletion(program: Program): void {
  tab(program as unknown as Command, { completionCommandName: 'completion' });
  for (const command of program.commands) {
    const [description, ofArgument] = DESCRIPTIONS[command.name()] ?? [];
    if (description === undefined || ofArgument === undefined) continue;
    command.description(description);
    for (const argument of command.registeredArguments) argument.description = ofArgument;
  }
}
