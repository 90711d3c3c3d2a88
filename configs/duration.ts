import { z } from 'zod';
import { type Duration, tryParseDuration } from '#kernel/times/duration';

/** A duration as people write it: `30s`, `24h`, `7d`. */
export const duration = z
  .string()
  .refine((text) => tryParseDuration(text) !== undefined, 'must be a duration such as 7d')
  .transform((text) => text as Duration);
