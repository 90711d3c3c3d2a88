import { z } from 'zod';
import { modelNameSchema } from '#registry/names';
import { thresholdRuleSchema } from '../models/adaptive_threshold.ts';
import { followSchema } from '../models/follow.ts';
import { modelRuntimeSchema } from '../models/model_runtime.ts';
import { isSplitTwice, routingSettings, SPLIT_TWICE } from './routing.ts';

/** A model of `serving.models`: its versions, how requests are routed to them, and its thresholds. */
export const servedModelSchema = z
  .strictObject({
    name: modelNameSchema,
    follow: followSchema.default({ stage: 'Production' }),
    ...routingSettings,
    /** How its versions are computed. */
    runtime: modelRuntimeSchema.prefault({}),
    /** Move the threshold of a row; every one that holds counts. */
    thresholds: z.array(thresholdRuleSchema).default([]),
  })
  .refine((served) => !isSplitTwice(served), { message: SPLIT_TWICE });
export type ServedModel = z.infer<typeof servedModelSchema>;
