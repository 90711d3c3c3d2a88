import type { Command, CommandUnknownOpts } from '@commander-js/extra-typings';

/** The command that others are added to: the program, or a noun of it. */
export type Program = CommandUnknownOpts;

/** A command without options yet. */
export type NewCommand = Command;

/** Adds the commands of one noun. */
export type Register = (program: Program) => void;
