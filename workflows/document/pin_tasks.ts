import type { TaskRegistry } from '../tasks/task_registry.ts';
import { type State, type StateMachine, taskOf, type WorkflowDocument } from './document.ts';

/**
 * Returns the document with the versions of its tasks: a run keeps them, also while it waits and the project gets newer ones.
 *
 * @throws {@link TaskNotFoundError}
 */
export const withTaskVersions = (document: WorkflowDocument, tasks: Pick<TaskRegistry, 'resolve'>): WorkflowDocument =>
  pinned(document, tasks);

function pinned<Machine extends StateMachine>(machine: Machine, tasks: Pick<TaskRegistry, 'resolve'>): Machine {
  const states = Object.entries(machine.States).map(([name, state]) => [name, pinnedState(state, tasks)] as const);
  return { ...machine, States: Object.fromEntries(states) };
}

function pinnedState(state: State, tasks: Pick<TaskRegistry, 'resolve'>): State {
  switch (state.Type) {
    case 'Task': {
      const { task, waitsForToken } = taskOf(state.Resource);
      const { id } = tasks.resolve(task);
      return { ...state, Resource: waitsForToken ? `${id}.waitForTaskToken` : id };
    }
    case 'Parallel':
      return { ...state, Branches: state.Branches.map((branch) => pinned(branch, tasks)) };
    case 'Map':
      return {
        ...state,
        ...(state.ItemProcessor === undefined ? {} : { ItemProcessor: pinned(state.ItemProcessor, tasks) }),
        ...(state.Iterator === undefined ? {} : { Iterator: pinned(state.Iterator, tasks) }),
      };
    default:
      return state;
  }
}
