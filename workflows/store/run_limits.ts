import type { RunLimits } from '../document/run_limits.ts';

/** Whether starts of runs must be serialized. */
export const isLimited = (limits: RunLimits): boolean =>
  limits.mostRuns !== undefined || limits.mostRunsOfKey !== undefined || mayBeRefused(limits);

/**
 * Returns the query for why a start is refused: no row where it is not.
 *
 * @param first - the place of the first of {@link refusalParameters} among the statement's parameters, from 1
 */
export function refusalQuery(first: number): string {
  const [workflow, key, isOneAtATime, cooldown, week] = [0, 1, 2, 3, 4].map((at) => `$${first + at}`);
  const ofKey = `workflow = ${workflow}::text AND concurrency_key = ${key}::text`;
  return `
SELECT reason FROM (
  SELECT 1 AS place, format('run "%s" is %s', id, status) AS reason FROM workflow_runs
  WHERE ${isOneAtATime}::boolean AND ${ofKey} AND status IN ('queued', 'running')
  UNION ALL
  SELECT 2, format('run "%s" ended %s ago, and the cool-down is %s', id, date_trunc('second', now() - ended_at), ${cooldown}::bigint * interval '1 millisecond')
  FROM workflow_runs WHERE ${cooldown}::bigint IS NOT NULL AND ${ofKey} AND ended_at > now() - ${cooldown}::bigint * interval '1 millisecond'
  UNION ALL
  SELECT 3, format('%s runs were started within seven days, and %s are allowed', count(*), ${week}::integer)
  FROM workflow_runs WHERE ${week}::integer IS NOT NULL AND ${ofKey} AND queued_at > now() - interval '7 days'
  HAVING count(*) >= ${week}::integer
) reasons ORDER BY place LIMIT 1`;
}

/** The parameters of {@link refusalQuery}. */
export const refusalParameters = (
  workflow: string,
  concurrencyKey: string,
  { isOneAtATime = false, cooldownMs, mostRunsAWeek }: RunLimits,
): readonly unknown[] => [workflow, concurrencyKey, isOneAtATime, cooldownMs ?? null, mostRunsAWeek ?? null];

/** Whether a start may be refused. */
export const mayBeRefused = ({ isOneAtATime = false, cooldownMs, mostRunsAWeek }: RunLimits): boolean =>
  isOneAtATime || cooldownMs !== undefined || mostRunsAWeek !== undefined;
