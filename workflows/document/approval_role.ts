import { machinesOf, type WorkflowDocument } from './document.ts';

/** Returns the role that a caller must have to answer a state that waits for approval: `Parameters.role` of the document; undefined where it names none. */
export function approvalRole(document: WorkflowDocument, state: string): string | undefined {
  for (const machine of machinesOf(document)) {
    const found = machine.States[state];
    if (found?.Type !== 'Task') continue;
    const role = (found.Parameters as { readonly role?: unknown } | undefined)?.role;
    if (typeof role === 'string') return role;
  }
  return undefined;
}
