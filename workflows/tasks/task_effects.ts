import type { SqlStatement } from '#feature_store/database/sql_executor';
import type { TaskContext } from './task.ts';

/** Returns what a task adds to the transaction of its result with: statements, and what it has read and made. */
export function effectsOf(
  run: string,
): { readonly effects: readonly SqlStatement[] } & Pick<TaskContext, 'sql' | 'reads' | 'writes'> {
  const effects: SqlStatement[] = [];
  const names =
    (direction: 'input' | 'output') =>
    (name: string, version: string | number = '') => {
      effects.push({
        text: 'INSERT INTO workflow_datasets (run_id, direction, name, version) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
        parameters: [run, direction, name, String(version)],
      });
    };
  return {
    effects,
    sql: (text, parameters = []) => void effects.push({ text, parameters }),
    ...{ reads: names('input'), writes: names('output') },
  };
}
