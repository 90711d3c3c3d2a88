import { TaskNotFoundError, WorkflowDefinitionError } from '../errors.ts';
import { type TaskDefinition, taskIdOf } from './task.ts';

/** The tasks of a process. */
export class TaskRegistry {
  readonly #byId = new Map<string, TaskDefinition>();
  readonly #newest = new Map<string, TaskDefinition>();

  /** @throws {@link WorkflowDefinitionError} for two tasks of one name and version */
  constructor(tasks: Iterable<TaskDefinition>) {
    for (const each of new Set(tasks)) {
      if (this.#byId.has(each.id)) {
        throw new WorkflowDefinitionError(`two tasks are called "${each.id}": give one another name or version`);
      }
      this.#byId.set(each.id, each);
      const newest = this.#newest.get(each.name);
      if (newest === undefined || newest.version < each.version) this.#newest.set(each.name, each);
    }
  }

  get ids(): readonly string[] {
    return [...this.#byId.keys()].sort();
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  get(id: string): TaskDefinition | undefined {
    return this.#byId.get(id);
  }

  /**
   * Returns the task that a document names: with its version, or the newest of the name.
   *
   * @throws {@link TaskNotFoundError}
   */
  resolve(id: string): TaskDefinition {
    const { version } = taskIdOf(id);
    const found = version === undefined ? this.#newest.get(id) : this.#byId.get(id);
    if (found === undefined) throw new TaskNotFoundError(id, this.ids);
    return found;
  }
}
