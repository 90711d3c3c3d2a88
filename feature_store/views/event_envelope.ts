import { z } from 'zod';

/** Identifies something: an event, a user, an account. */
export const id = z.string().min(1).max(128);

/** Fields that events of all types have; an event's schema adds its own, and its `event_type`. */
export const envelope = {
  event_id: id,
  user_id: id.optional(),
  device_type: z.string().max(64).optional(),
  timestamp: z.iso.datetime({ offset: true }),
};
