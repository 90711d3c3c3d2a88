import type { InferenceSession } from 'onnxruntime-node';
import { z } from 'zod';

const OPTIMIZATIONS = ['disabled', 'basic', 'extended', 'layout', 'all'] as const;

/** How onnxruntime computes the graph of a model. */
export const sessionSettings = {
  /** The first that has a kernel for a node computes it: `[cuda, cpu]`. What onnxruntime has here is checked when serving starts. */
  executionProviders: z
    .array(z.string().regex(/^[a-z][a-z0-9]*$/, 'must be the name of an execution provider such as cpu or cuda'))
    .min(1)
    .default(['cpu']),
  /** Threads within one operator. With small models more threads cost more than they bring, and the other core serves. */
  intraOpThreads: z.int().min(1).max(256).default(1),
  /** Threads over operators that do not depend on one another. */
  interOpThreads: z.int().min(1).max(256).default(1),
  graphOptimization: z.enum(OPTIMIZATIONS).default('all'),
};
const sessionSettingsSchema = z.strictObject(sessionSettings);
export type SessionSettings = z.infer<typeof sessionSettingsSchema>;

/** Returns the options that onnxruntime takes. */
export const sessionOptionsOf = (settings: SessionSettings): InferenceSession.SessionOptions => ({
  executionProviders: settings.executionProviders,
  intraOpNumThreads: settings.intraOpThreads,
  interOpNumThreads: settings.interOpThreads,
  executionMode: settings.interOpThreads > 1 ? 'parallel' : 'sequential',
  graphOptimizationLevel: settings.graphOptimization,
  logSeverityLevel: 3,
});

export const SESSION_OPTIONS = sessionOptionsOf(sessionSettingsSchema.parse({}));
