import { z } from 'zod';
import { parseRfc3339 } from '#kernel/times/rfc3339';

/** Identifies something: an event, a user, an account. */
export const id = z.string().min(1).max(128);

/** Declares a time as RFC 3339 writes it, in all its forms. */
export const time = z
  .string()
  .refine((text) => parseRfc3339(text) !== undefined, {
    message: 'must be a time of RFC 3339 such as 2026-01-31T12:00:00Z',
  })
  .meta({ format: 'date-time' });

/** Fields that events of all types have; an event's schema adds its own, and its `event_type`. */
export const envelope = {
  event_id: id,
  user_id: id.optional(),
  device_type: z.string().max(64).optional(),
  /** The gateway and the pipeline parse it once, and refuse what is not a time: kernel/times/event_time_text.ts. */
  timestamp: z.string().meta({ format: 'date-time' }),
};
