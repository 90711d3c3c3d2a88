import { z } from 'zod';
import { duration } from '#configs/duration';
import type { JsonValue } from '#kernel/json';
import { type Duration, durationMs } from '#kernel/times/duration';
import { WorkflowDocumentError } from '../errors.ts';
import { pathProblem, valueAt } from '../language/paths.ts';
import type { RunLimits } from './run_limits.ts';

const NAME = /^[a-z][a-z0-9_-]{0,62}$/;

const settingsSchema = z.strictObject({
  /** So many runs of the workflow run at a time; the others wait in its queue. */
  maxRuns: z.int().positive().optional(),
  /** Path in the input: runs with the same value there share a queue. */
  concurrencyKey: z
    .string()
    .refine((path) => path.startsWith('$.') && pathProblem(path) === undefined, 'must be a path, such as $.model')
    .optional(),
  /** So many runs with the same key run at a time. */
  maxRunsOfKey: z.int().positive().optional(),
  /** What a start does while a run of the workflow, or with the same key, is queued or runs: `refuse` fails it. */
  whenActive: z.enum(['queue', 'refuse']).optional(),
  /** A start this soon after the end of the newest run, of the workflow or with the same key, is refused. */
  cooldown: duration.optional(),
  /** So many runs, of the workflow or with the same key, are started within seven days; more are refused. */
  maxRunsAWeek: z.int().positive().optional(),
});

/** How runs of a workflow are run. Beside `retrain.asl.json` they are in `retrain.settings.json`. */
export type WorkflowSettings = Readonly<z.input<typeof settingsSchema>>;

/** Returns what holds for each start of a run. */
export const limitsOf = (settings: WorkflowSettings): RunLimits => ({
  ...{ mostRuns: settings.maxRuns, mostRunsOfKey: settings.maxRunsOfKey, mostRunsAWeek: settings.maxRunsAWeek },
  isOneAtATime: settings.whenActive === 'refuse',
  cooldownMs: settings.cooldown === undefined ? undefined : durationMs(settings.cooldown as Duration),
});

/** @throws {@link WorkflowDocumentError} with every problem and its place */
export function checkSettings(name: string, settings: unknown): WorkflowSettings {
  const parsed = settingsSchema.safeParse(settings);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map(
        ({ path, message }) => `settings${path.length === 0 ? '' : `.${path.join('.')}`}: ${message}`,
      );
  if (!NAME.test(name)) {
    problems.push('a name begins with a lower-case letter and has lower-case letters, digits, "_" and "-", 63 at most');
  }
  const { concurrencyKey, maxRunsOfKey } = (parsed.data ?? {}) as WorkflowSettings;
  if (maxRunsOfKey !== undefined && concurrencyKey === undefined)
    problems.push('settings.maxRunsOfKey: it needs concurrencyKey');
  if (problems.length > 0) throw new WorkflowDocumentError(name, problems);
  return Object.freeze(parsed.data as WorkflowSettings);
}

/** Returns the concurrency key of a run; empty where the workflow has none. */
export function concurrencyKeyOf({ concurrencyKey }: WorkflowSettings, input: JsonValue): string {
  if (concurrencyKey === undefined) return '';
  const value = valueAt(concurrencyKey, { input, context: {} });
  return typeof value === 'string' ? value : JSON.stringify(value);
}
