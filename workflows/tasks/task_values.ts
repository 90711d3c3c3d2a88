import { type TaskContext, TaskError, type TaskValues } from './task.ts';

export const NO_VALUES: TaskValues = { variables: {}, connections: {} };

/** Returns what a task reads them with. */
export const readersOf = ({ variables, connections }: TaskValues): Pick<TaskContext, 'variable' | 'connection'> => ({
  variable: (name) => found('variable', variables, name),
  connection: (name) => found('connection', connections, name),
});

function found<T>(kind: 'variable' | 'connection', values: Readonly<Record<string, T>>, name: string): T {
  if (Object.hasOwn(values, name)) return values[name] as T;
  const known = Object.keys(values).join(', ') || 'none';
  throw new TaskError(
    kind === 'variable' ? 'Workflow.VariableMissing' : 'Workflow.ConnectionMissing',
    `${kind} "${name}" is not set; workflows.${kind}s has ${known}`,
  );
}
