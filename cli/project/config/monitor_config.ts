import { z } from 'zod';
import { duration } from '#configs/duration';
import { accessSettings } from '#connectors/http/config';
import type { Duration } from '#kernel/times/duration';
import { tlsSchema } from '#monitoring/http/tls_config';
import { modelNameSchema } from '#registry/names';

const thresholds = {
  psi: z.number().positive(),
  cramersV: z.number().positive(),
  significance: z.number().positive().max(1),
  nullShare: z.number().positive().max(1),
};

/** How one model is watched, where it differs from the others: `monitoring` of `defineModel`, `monitor.models.NAME` of the settings. */
export const modelWatchSchema = z.strictObject({
  /** A window with fewer predictions is not compared. */
  minRows: z.int().min(50).optional(),
  /** Columns that are not compared; replaces those of `monitor.ignore`. */
  ignore: z.array(z.string()).optional(),
  thresholds: z.strictObject(thresholds).partial().optional(),
  /** A version of which fewer outcomes are known is not judged. */
  minLabels: z.int().positive().optional(),
});

/** `monitor` in configs/*.yaml: how models are watched at work. */
export const monitorConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8_084),
  tls: tlsSchema.optional(),
  ...accessSettings,
  group: z.string().min(1).default('headwater-monitor'),
  snapshotIntervalMs: z.int().positive().default(10_000),
  idleAfterMs: z.int().positive().default(1_000),
  /** Length of the windows of predictions that are compared with training. */
  window: duration.default('1h' as Duration),
  /** How often a window that is still open is compared, and outcomes are looked at. */
  every: duration.default('30s' as Duration),
  /** A window with fewer predictions says nothing. */
  minRows: z.int().min(50).default(200),
  /** Columns that differ by what they are: the hour of the day in a window of an hour. */
  ignore: z.array(z.string()).default(['hour_of_day', 'day_of_week', 'is_weekend']),
  thresholds: z
    .strictObject({
      psi: thresholds.psi.default(0.2),
      cramersV: thresholds.cramersV.default(0.1),
      significance: thresholds.significance.default(0.001),
      nullShare: thresholds.nullShare.default(0.1),
    })
    .prefault({}),
  /** Outcomes that were reported so long ago still count. */
  performance: duration.default('7d' as Duration),
  minLabels: z.int().positive().default(100),
  /** Online learners take an outcome so long after it was received: clocks of processes differ, and its prediction may be written a little later. */
  settle: duration.default('10s' as Duration),
  /** By model: what differs for it. */
  models: z.record(modelNameSchema, modelWatchSchema).default({}),
});
