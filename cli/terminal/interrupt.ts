import type { CommandUnknownOpts } from '@commander-js/extra-typings';

/** Of a process that SIGINT ended: 128 + its number, as shells count. */
export const INTERRUPTED = 130;
const NOTHING_KEPT = 'run the command again';

const resumptions = new WeakMap<object, string>();

/** Declares how an interrupted command is resumed: `run it again: it resumes at the last part`. Returns the command. */
export function resumes<C extends object>(command: C, how: string): C {
  resumptions.set(command, how);
  return command;
}

/** Returns how the command, or the command that it is part of, is resumed. */
export const howToResume = (command: CommandUnknownOpts | undefined): string =>
  (command === undefined ? undefined : resumptions.get(command)) ?? NOTHING_KEPT;

/**
 * Reports an interruption (Ctrl-C) and how the running command is resumed. A command that stops in order has a handler of its own and ends by itself; any other ends here, with
 * exit code 130. What commands write is complete when it has its name: files are renamed into place, stores have transactions.
 *
 * @param running - returns the command that runs
 */
export function reportInterrupts(running: () => CommandUnknownOpts | undefined): void {
  process.on('SIGINT', () => {
    const command = running();
    const stopsInOrder = process.listenerCount('SIGINT') > 1;
    if (stopsInOrder && (command === undefined || !resumptions.has(command))) return;
    process.stderr.write(`headwater: interrupted; to resume, ${howToResume(command)}\n`);
    if (!stopsInOrder) process.exit(INTERRUPTED);
  });
}
