import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

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

/** Fields whose values never reach a log line, at any depth up to two. */
const SECRET_FIELDS = ['password', 'token', 'secret', 'apiKey', 'authorization'];
const REDACTED_PATHS = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]);

/** JSON lines on `destination` (standard error by default, so that standard output stays for results). */
export function createLogger(options: { level: LogLevel; name?: string }, destination?: DestinationStream): Logger {
  const logger: PinoLogger = pino(
    {
      level: options.level,
      base: { service: options.name ?? 'headwater' },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    destination ?? pino.destination({ dest: 2, sync: false }),
  );
  return logger;
}

/** Logs nothing: for tests and for tools that print their own output. */
export const silentLogger: Logger = createLogger({ level: 'silent' });
