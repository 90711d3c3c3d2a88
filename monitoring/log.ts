import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { hideSecretFields, hideSecrets } from '#kernel/secrets';

/** What the platform logs through: fields first, then a dotted event name. */
export interface Logger {
  trace(fields: object, event: string): void;
  debug(fields: object, event: string): void;
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
  error(fields: object, event: string): void;
  child(fields: object): Logger;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const hideFields = (fields: object): Record<string, unknown> =>
  hideSecretFields({ ...fields }) as Record<string, unknown>;

/** An error as a plain object: its type, message, stack and causes, without credentials in any of its fields. */
const describeError = (error: unknown): unknown =>
  error instanceof Error ? hideSecretFields({ ...pino.stdSerializers.err(error) }) : hideSecretFields(error);

/** JSON lines on `destination` (standard error by default, so that standard output stays for results), without credentials. */
export function createLogger(options: { level: LogLevel; name?: string }, destination?: DestinationStream): Logger {
  const lines = destination ?? pino.destination({ dest: 2, sync: false });
  const logger: PinoLogger = pino(
    {
      level: options.level,
      base: { service: options.name ?? 'headwater' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), bindings: hideFields, log: hideFields },
      serializers: { error: describeError, err: describeError },
    },
    { write: (line: string) => void lines.write(hideSecrets(line)) },
  );
  return logger;
}

/** Logs nothing: for tests and for tools that print their own output. */
export const silentLogger: Logger = createLogger({ level: 'silent' });
