import type { LogRecord } from '#connectors/connector';
import { messageOf } from '#kernel/errors';
import type { Clock } from '#kernel/time';
import { type DeadLetter, earlierAttempts, fileOf, originOf, payloadOf } from '../dead_letter.ts';
import type { DeadLetterWriter } from '../dead_letters/dead_letter_writer.ts';

/** Takes a record that its topic has refused for good. */
export type RefuseSpooled = (topic: string, record: LogRecord, error: unknown, signal: AbortSignal) => Promise<void>;

/**
 * Writes what the broker refuses of the spool to the dead letters: its client has its 202 already. Of a record that is a dead letter itself the
 * writer keeps the payload in a file.
 */
export function writeSpooledLetters(
  { deadLetters, clock }: { readonly deadLetters: DeadLetterWriter; readonly clock: Clock },
  topics: { readonly deadLetters: string },
): RefuseSpooled {
  return async (topic, record, error, signal) => {
    const own = topic === topics.deadLetters ? fileOf(record).letter : undefined;
    const letter: DeadLetter = own ?? {
      ...payloadOf(record.value),
      origin: { ...originOf(topic, record), partition: 'spool' },
      reason: messageOf(error),
      stage: 'gateway.spool',
      attempt: earlierAttempts(record) + 1,
      timestamp: new Date(clock.now()).toISOString(),
    };
    await deadLetters.write([letter], signal);
  };
}
