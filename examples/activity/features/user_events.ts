import { type EventFields, entity, envelope, eventSource, id } from 'headwater/features';
import { z } from 'zod';

export const USER_EVENT_TYPES = [
  'page_view',
  'view',
  'click',
  'search',
  'scroll',
  'signup',
  'login',
  'logout',
  'session_start',
  'session_end',
  'add_to_cart',
  'remove_from_cart',
  'purchase',
  'refund',
  'share',
  'like',
  'comment',
  'feedback',
] as const;

/** What a user does, as a client posts it. Only the first five are needed. */
export const userEventSchema = z.strictObject({
  ...envelope,
  user_id: id,
  event_type: z.enum(USER_EVENT_TYPES),
  device_type: z.string().min(1).max(64).optional(),
  session_id: id.optional(),
  page: z.string().max(2_048).optional(),
  product_id: id.optional(),
  category: z.string().max(128).optional(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, 'must be an ISO 3166 code such as DE')
    .optional(),
  /** Of a purchase. */
  amount: z.number().nonnegative().max(10_000_000).optional(),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR')
    .optional(),
  /** Anything else, for later. */
  properties: z
    .record(z.string().max(64), z.union([z.string().max(1_024), z.number(), z.boolean(), z.null()]))
    .optional(),
});
export type UserEvent = z.infer<typeof userEventSchema>;

export const user = entity('user', ['user_id']);

export const userEvents = eventSource({
  name: 'user_events',
  eventTypes: USER_EVENT_TYPES,
  schema: userEventSchema,
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
  history: { files: ['history/user_events/**/*'] },
});

// One function each: an aggregation is shared by the features that filter by the same function.
export const isPurchase = ({ event_type: type }: EventFields): boolean => type === 'purchase';
export const isClick = ({ event_type: type }: EventFields): boolean => type === 'click';
export const isMobile = ({ device_type: type }: EventFields): boolean => type === 'mobile';
