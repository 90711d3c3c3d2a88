import { z } from 'zod';

export const diskLogConfigSchema = z.strictObject({
  kind: z.literal('disk_log'),
  /** Folder of the log; made when absent. */
  directory: z.string().min(1),
  /** When written records reach the disk itself: `never` leaves it to the system, `interval` once a second, `always` before an answer. */
  fsync: z.enum(['never', 'interval', 'always']).default('interval'),
  segmentBytes: z
    .int()
    .positive()
    .default(64 * 1024 * 1024),
});
export type DiskLogConfig = z.infer<typeof diskLogConfigSchema>;
