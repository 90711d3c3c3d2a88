import { z } from 'zod';
import { duration } from '#configs/duration';
import type { Duration } from '#kernel/times/duration';
import { cronSchema } from '../workflow_parts.ts';

const share = z.number().positive().max(1);

/** A column's rule: rows that break it are set aside, and not trained on. */
const columnRule = z.strictObject({
  required: z.boolean().default(false),
  min: z.number().optional(),
  max: z.number().optional(),
  oneOf: z
    .array(z.union([z.string(), z.number(), z.boolean()]))
    .min(1)
    .optional(),
});
export type ColumnRule = z.infer<typeof columnRule>;

const triggers = {
  /** At these times, whatever the model does. */
  schedule: cronSchema.optional(),
  /** Inputs that are not as in training: so many columns in each of the newest windows. */
  drift: z.strictObject({ columns: z.int().positive().default(1), windows: z.int().positive().default(2) }).optional(),
  /** What came true: the metric is worse than after training by more than `drop`, and chance is ruled out. */
  performance: z.strictObject({ drop: share.default(0.05), window: duration.default('1d' as Duration) }).optional(),
  /** The same as the model's own probabilities estimate it, without labels; two classes alone. */
  estimated: z.strictObject({ drop: share.default(0.05), window: duration.default('1d' as Duration) }).optional(),
  /** So many labels since the newest version was trained. */
  newLabels: z.int().positive().optional(),
};

/** `retraining` of `defineModel`, `retraining.NAME` of the settings: a workflow that trains a model again, judges and rolls it out. */
export const retrainingSchema = z.strictObject({
  /** Labels of so long before the run are trained on. */
  window: duration.default('30d' as Duration),
  /** Fewer labels in the window start no run, and fail one. */
  minLabels: z.int().positive().default(500),
  /** The newest label is this old at most. */
  freshness: duration.default('7d' as Duration),
  /** By column of the training set. */
  rules: z.record(z.string(), columnRule).default({}),
  /** A larger share of rows that break a rule fails the run. */
  mostQuarantined: z.number().min(0).max(1).default(0.05),
  /** Sets of parameters to try. */
  search: z.int().nonnegative().default(0),
  /** What decides between two versions; default: that of the gates, or auc, accuracy, rmse, the first that both have. */
  metric: z.string().min(1).optional(),
  better: z.enum(['higher', 'lower']).optional(),
  /** By how much a version must be better than the one in production on the same rows. */
  minGain: z.number().nonnegative().default(0),
  triggers: z.strictObject(triggers).prefault({}),
  /** How often the triggers are looked at. */
  check: duration.default('1m' as Duration),
  /** After a run, no trigger starts another for so long. */
  cooldown: duration.default('6h' as Duration),
  maxRunsAWeek: z.int().positive().default(7),
  /** Production requires the approval of a person; `role`: only of callers with the scope `approve:ROLE` besides. `false`: none. */
  approval: z
    .union([
      z.literal(false),
      z.strictObject({
        role: z
          .string()
          .regex(/^[a-z][a-z0-9_-]*$/)
          .optional(),
        expires: duration.default('3d' as Duration),
      }),
    ])
    .prefault({}),
  /** A canary that has not passed within this time is archived. */
  canaryWithin: duration.default('1d' as Duration),
  /** How long a version is watched in production before the run ends; it is rolled back when it does worse than it was judged by more than `drop`. */
  watch: z
    .strictObject({
      for: duration.default('30m' as Duration),
      drop: share.default(0.1),
      minLabels: z.int().positive().default(100),
    })
    .prefault({}),
});
export type RetrainingInput = z.input<typeof retrainingSchema>;
export type Retraining = z.infer<typeof retrainingSchema>;

/** The name of the task that trains. */
export const TRAIN_TASK = 'model.train';

/** Returns the name of the workflow that trains a model again. */
export const retrainingWorkflowName = (model: string): string =>
  `retrain_${model.toLowerCase().replace(/[^a-z0-9_-]/g, '_')}`.slice(0, 63);
