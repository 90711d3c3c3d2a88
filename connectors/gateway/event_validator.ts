import type { z } from 'zod';
import { messageOf } from '#kernel/errors';
import { readEventTime } from '#kernel/event_time_text';
import { type FieldProblem, InvalidEventError } from './errors.ts';

/** A type of event the gateway takes. */
export interface EventType {
  readonly eventType: string;
  readonly schema: z.ZodObject;
  readonly schemaVersion: number;
  readonly eventIdField: string;
  readonly timestampField: string;
}

export interface ValidEvent {
  readonly eventId: string;
  /** Partitioning key: the user, so that a user's events stay in order. */
  readonly key: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly schemaVersion: number;
}

/** Parses and checks one event. */
export type ValidateEvent = (body: unknown, nowMs: number) => ValidEvent;

/** @throws {@link InvalidEventError} with all problems at once */
export function createEventValidator(types: readonly EventType[]): ValidateEvent {
  const byType = new Map(types.map((type) => [type.eventType, type]));
  return (body, nowMs) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw new InvalidEventError([{ field: '', problem: 'an event must be a JSON object' }]);
    }
    const { event_type: eventType } = body as { readonly event_type?: unknown };
    const type = typeof eventType === 'string' ? byType.get(eventType) : undefined;
    if (type === undefined) {
      const problem =
        eventType === undefined
          ? 'is required'
          : `${JSON.stringify(eventType)} is not a known type; known: ${[...byType.keys()].join(', ')}`;
      throw new InvalidEventError([{ field: 'event_type', problem }]);
    }
    const parsed = type.schema.safeParse(body);
    const problems = parsed.success ? [] : parsed.error.issues.flatMap(describe);
    const timestamp = (body as Record<string, unknown>)[type.timestampField];
    if (typeof timestamp === 'string' && !problems.some(({ field }) => field === type.timestampField)) {
      const time = readEventTime(timestamp, nowMs);
      if ('problem' in time) problems.push({ field: type.timestampField, problem: time.problem });
    }
    if (!parsed.success || problems.length > 0) throw new InvalidEventError(problems);
    const fields = parsed.data as Record<string, unknown>;
    const eventId = String(fields[type.eventIdField]);
    return { eventId, key: String(fields.user_id ?? eventId), fields, schemaVersion: type.schemaVersion };
  };
}

function describe(issue: z.core.$ZodIssue): FieldProblem[] {
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: path === '' ? key : `${path}.${key}`, problem: 'is not a known field' }));
  }
  return [{ field: path, problem: issue.message }];
}

/** @throws {@link InvalidEventError} when the text is not JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidEventError([{ field: '', problem: `the body is not JSON: ${messageOf(error)}` }]);
  }
}
