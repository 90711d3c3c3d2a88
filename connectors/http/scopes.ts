import { z } from 'zod';

/** What scopes name: an action, and after a colon the resource, or `*` for every one. docs/security.md has the same table. */
export const SCOPES: Readonly<Record<string, { readonly resource: string | undefined; readonly allows: string }>> = {
  ingest: { resource: undefined, allows: 'send events to the gateway' },
  features: {
    resource: 'VIEW or VIEW@VERSION',
    allows: 'read features, statistics and lineage of a view; `features:counters` reads counters',
  },
  push: { resource: 'VIEW or VIEW@VERSION', allows: 'write rows of a view of mode push' },
  counters: { resource: 'COUNTER', allows: 'add to a counter' },
  predict: { resource: 'MODEL', allows: 'get predictions of a model, and read its status and signature' },
  explain: { resource: 'MODEL', allows: 'get explanations of a model’s predictions' },
  feedback: {
    resource: 'MODEL',
    allows: 'send outcomes of a model’s predictions, and read results of its experiments',
  },
  routing: { resource: 'MODEL', allows: 'read and change how requests for a model are routed' },
  console: {
    resource: 'read, replay, erase or act',
    allows:
      '`console:read` shows what the console shows; `console:replay` replays dead letters; `console:act` promotes versions as well; `console:erase` erases an entity',
  },
  promote: { resource: 'MODEL', allows: 'promote versions of a model, in the console and by its routes' },
  workflows: { resource: 'WORKFLOW', allows: 'read a workflow, its runs with inputs and logs, and its schedules' },
  operate: {
    resource: 'WORKFLOW',
    allows: 'start, cancel and redrive runs of a workflow; pause, resume, trigger and back-fill its schedules',
  },
  approve: { resource: 'WORKFLOW', allows: 'approve and reject at states of a workflow that wait for it' },
  role: { resource: 'ROLE', allows: 'approve and reject where a state names this role, besides `approve`' },
  viewer: { resource: undefined, allows: 'a role: reads all that the console shows, and changes nothing' },
  operator: {
    resource: undefined,
    allows: 'a role: a viewer who replays dead letters, changes how requests are routed, and operates workflows',
  },
  approver: {
    resource: undefined,
    allows: 'a role: a viewer who promotes versions of models, and answers workflows that wait for an approval',
  },
  admin: { resource: undefined, allows: 'everything; so does `*`' },
};

const CONSOLE = ['read', 'replay', 'erase', 'act', '*'];

function isScope(text: string): boolean {
  if (text === '*') return true;
  const [, action = '', resource] = /^([a-z]+)(?::(\S+))?$/.exec(text) ?? [];
  const known = SCOPES[action];
  if (known === undefined) return false;
  if (resource === undefined) return true;
  return action === 'console' ? CONSOLE.includes(resource) : known.resource !== undefined;
}

export const scopeSchema = z.string().refine(isScope, {
  error: ({ input }) =>
    `"${String(input).slice(0, 100)}" is no scope: an action (${Object.keys(SCOPES).join(', ')}), or action:resource such as predict:fraud_detector or predict:*`,
});
