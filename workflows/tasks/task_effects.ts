import type { SqlStatement } from '#feature_store/database/sql_executor';
import type { TaskContext, TaskResult } from './task.ts';

/** Returns what a task adds to its result with: statements for its transaction, what it has read and made, and rows that it has written. */
export function effectsOf(
  run: string,
): Pick<TaskResult, 'effects' | 'written'> & Pick<TaskContext, 'sql' | 'reads' | 'writes'> {
  const effects: SqlStatement[] = [];
  const written: { dataset: string; rows: number }[] = [];
  const names =
    (direction: 'input' | 'output') =>
    (name: string, version: string | number = '') => {
      effects.push({
        text: 'INSERT INTO workflow_datasets (run_id, direction, name, version) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
        parameters: [run, direction, name, String(version)],
      });
    };
  const makes = names('output');
  return {
    ...{ effects, written },
    sql: (text, parameters = []) => void effects.push({ text, parameters }),
    reads: names('input'),
    writes: (name, version, rows) => {
      if (rows !== undefined && !(Number.isSafeInteger(rows) && rows >= 0))
        throw new TypeError(`the rows of data set "${name}" must be an integer from 0, not ${String(rows)}`);
      makes(name, version);
      if (rows !== undefined) written.push({ dataset: name, rows });
    },
  };
}
