import { inspect } from 'node:util';
import { CommanderError, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { PlatformError } from '#kernel/errors';
import { hideSecrets } from '#kernel/secrets';
import { reportInterrupts } from './interrupt.ts';
import { withNewNames } from './old_names.ts';
import { UsageError } from './usage_error.ts';

/** Exit codes of every command. */
export const EXIT = { success: 0, failure: 1, usage: 2 } as const;

/** Commands whose standard error is a log: a crash is found there later, and cannot be repeated with `--debug`. */
const SERVICES = ['start', 'pipelines worker'];
/** Time for what a failed command left open to close by itself. */
const CLOSE_MS = 2_000;

/**
 * Parses the command line, runs its command and sets the exit code: 0 success, 1 failure, 2 a command line that is not valid. An error is one message on standard error; with
 * `--debug` it has its stack and causes.
 */
export async function runProgram(program: CommandUnknownOpts): Promise<void> {
  const report = (error: unknown, debug: boolean): void => {
    process.exitCode = exitCodeOf(error);
    // Commander has printed its message, the help or the version.
    if (error instanceof CommanderError) return;
    process.stderr.write(`headwater: ${hideSecrets(describeError(error, debug))}\n`);
  };
  const debug = (): boolean => program.opts().debug === true;
  let running: CommandUnknownOpts | undefined;
  program.hook('preAction', (_, command) => {
    running = command;
  });
  reportInterrupts(() => running);
  endQuietlyWhenNotRead(process.stdout);
  endQuietlyWhenNotRead(process.stderr);
  process.on('uncaughtException', (error) => {
    report(error, debug() || SERVICES.includes(pathOf(running)));
    process.exit();
  });
  try {
    const args = withNewNames(process.argv.slice(2), (line) => process.stderr.write(`headwater: ${line}\n`));
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    report(error, debug());
    setTimeout(() => process.exit(), CLOSE_MS).unref();
  }
}

/** Returns the names of a command below the program: `pipelines worker`. */
function pathOf(command: CommandUnknownOpts | undefined): string {
  const names: string[] = [];
  for (let at = command; at?.parent != null; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

/** Returns the exit code of an error that a command has thrown. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.success : EXIT.usage;
  return error instanceof UsageError ? EXIT.usage : EXIT.failure;
}

/** Codes of many errors, of which the message says all there is. */
const PLAIN_CODES: ReadonlySet<string> = new Set(['CLI_COMMAND_FAILED', 'CLI_USAGE']);

/** Returns an error for people: its message, the page of its code, and how to see more of one that was not expected; with `debug` its stack and causes. */
export function describeError(error: unknown, debug: boolean): string {
  if (debug) return inspect(error);
  const message = error instanceof Error ? error.message : String(error);
  const isCoded = error instanceof PlatformError && !PLAIN_CODES.has(error.code);
  const page = isCoded ? `\n"headwater errors show ${error.code}" says more.` : '';
  const isExpected = error instanceof PlatformError && error.fault !== 'internal';
  return isExpected
    ? `${message}${page}`
    : `${message}${page}\nRun the command again with --debug for the stack trace.`;
}

/**
 * Ends the process when the reader of its output has closed the pipe (`| head -1`), as SIGPIPE ends other programs. A command that stops in order on SIGTERM does so; any other
 * ends at once.
 */
function endQuietlyWhenNotRead(stream: NodeJS.WriteStream): void {
  let isClosed = false;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (isClosed) return;
    isClosed = true;
    if (process.listenerCount('SIGTERM') === 0) process.exit(EXIT.success);
    process.kill(process.pid, 'SIGTERM');
  });
}
