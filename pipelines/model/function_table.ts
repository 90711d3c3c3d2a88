/**
 * The functions of each pipeline, by the unique name of their transform. A graph travels without them: a worker runs the
 * same pipeline module, builds the same graph, and finds each function here.
 */
const tables = new WeakMap<object, Map<string, unknown>>();

export function registerFunction(pipeline: object, uniqueName: string, fn: unknown): void {
  let table = tables.get(pipeline);
  if (table === undefined) {
    table = new Map();
    tables.set(pipeline, table);
  }
  table.set(uniqueName, fn);
}

export function findFunction(pipeline: object, uniqueName: string): unknown {
  return tables.get(pipeline)?.get(uniqueName);
}
