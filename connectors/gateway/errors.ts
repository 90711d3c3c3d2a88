import { PlatformError } from '#kernel/errors';
import type { FieldProblem } from '#kernel/field_problems';
import { listed, MOST_NAMED, shown } from '#kernel/problem_list';
import { storable } from '#kernel/text/unstorable_text';

const LONGEST_FIELD = 200;
const LONGEST_PROBLEM = 500;

/** An event that cannot be taken, with everything that is wrong with it: 20 fields at most. */
export class InvalidEventError extends PlatformError {
  readonly code = 'GATEWAY_INVALID_EVENT';
  readonly httpStatus = 400;
  readonly fields: readonly FieldProblem[];

  constructor(problems: readonly FieldProblem[]) {
    const fields = problems.slice(0, MOST_NAMED).map(({ field, problem }) => ({
      field: shortened(field, LONGEST_FIELD),
      problem: shortened(problem, LONGEST_PROBLEM),
    }));
    const named = fields.map(({ field, problem }) => (field === '' ? problem : `${field}: ${problem}`));
    const longest = LONGEST_FIELD + LONGEST_PROBLEM + 100;
    const list = listed(named, { separator: '; ', longest, total: problems.length });
    super(`the event was refused: ${list}`, { fault: 'caller', retryable: false });
    this.fields = fields;
  }
}

/** What came from a client is storable and bounded before it goes into an answer, a log or a dead letter. */
const shortened = (text: string, most: number): string => storable(shown(text, most));

/** An id that this user's event had already, and the two events differ. */
export class EventIdConflictError extends PlatformError {
  readonly code = 'GATEWAY_EVENT_ID_CONFLICT';
  readonly httpStatus = 409;

  constructor(eventId: string) {
    super(
      `event_id_conflict: an event of this user with the id ${JSON.stringify(shortened(eventId, LONGEST_FIELD))} was accepted before, with other content: send another event under another id`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** One event that no broker takes, whatever it is sent with. */
export class RecordTooLargeError extends PlatformError {
  readonly code = 'GATEWAY_RECORD_TOO_LARGE';
  readonly httpStatus = 413;

  constructor(bytes: number, maxBytes: number) {
    super(
      `the event is a record of ${bytes} bytes with its key and headers; the most is ${maxBytes} (gateway.maxRecordBytes): send it smaller, sending it again does not help`,
      { fault: 'caller', retryable: false },
    );
  }
}

export class TooManyEventsError extends PlatformError {
  readonly code = 'GATEWAY_TOO_MANY_EVENTS';
  readonly httpStatus = 413;

  constructor(maxItems: number) {
    super(`the body has more than ${maxItems} events (gateway.maxBatchItems), none was taken: send several requests`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** A body in a form that the gateway does not read. */
export class UnsupportedEventFormError extends PlatformError {
  readonly code = 'GATEWAY_UNSUPPORTED_FORM';
  readonly httpStatus = 415;

  constructor(problem: string) {
    super(problem, { fault: 'caller', retryable: false });
  }
}

export class BodyTooLargeError extends PlatformError {
  readonly code = 'GATEWAY_BODY_TOO_LARGE';
  readonly httpStatus = 413;

  constructor(maxBytes: number) {
    super(`the body is larger than ${maxBytes} bytes: send less at once, as several requests`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** The broker is away, and what may wait for it on disk does. */
export class SpoolFullError extends PlatformError {
  readonly code = 'GATEWAY_SPOOL_FULL';
  readonly httpStatus = 503;

  constructor(bytes: number, maxBytes: number, problem: string) {
    super(
      `the broker is not available (${problem}), and ${bytes} of ${maxBytes} bytes wait for it on disk: send this again later`,
      { fault: 'dependency', retryable: true },
    );
  }
}
