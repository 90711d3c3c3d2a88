import type { Command, CommandUnknownOpts } from '@commander-js/extra-typings';

/** The command that others are added to: the program, or a noun of it. */
export type Program = CommandUnknownOpts;

/** A command without options yet. */
export type NewCommand = Command;

/** Returns the command of a noun, which files of commands share: the first that needs it adds it. */
export const noun = (program: Program, name: string, description: string): Program =>
  program.commands.find((command) => command.name() === name) ?? program.command(name).description(description);

/** Adds the commands of one noun. */
export type Register = (program: Program) => void;
