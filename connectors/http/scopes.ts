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
    resource: 'read or act',
    allows: '`console:read` shows what the console shows; `console:act` promotes versions and replays dead letters',
  },
  promote: { resource: 'MODEL', allows: 'promote versions of a model, in the console and by its routes' },
  workflows: { resource: 'WORKFLOW', allows: 'read a workflow, its runs with inputs and logs, and its schedules' },
  operate: {
    resource: 'WORKFLOW',
    allows: 'start, cancel and redrive runs of a workflow; pause, resume, trigger and back-fill its schedules',
  },
  approve: { resource: 'WORKFLOW', allows: 'approve and reject at states of a workflow that wait for it' },
  role: { resource: 'ROLE', allows: 'approve and reject where a state names this role, besides `approve`' },
  admin: { resource: undefined, allows: 'everything; so does `*`' },
};

const EVERYTHING = ['admin', '*'];
const CONSOLE = ['read', 'act', '*'];

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

/** What a caller may do. */
export class Grants {
  /** Of keys and tokens without scopes. */
  static readonly everything = new Grants(['admin']);

  readonly #all: boolean;
  readonly #exact: ReadonlySet<string>;
  /** Actions that are granted for every resource. */
  readonly #whole: ReadonlySet<string>;
  /** Actions that are granted for some resource. */
  readonly #some: ReadonlySet<string>;

  constructor(scopes: readonly string[]) {
    const [exact, whole, some] = [new Set<string>(), new Set<string>(), new Set<string>()];
    for (const scope of scopes) {
      const action = actionOf(scope);
      some.add(action);
      if (scope === action || scope === `${action}:*`) whole.add(action);
      else exact.add(scope);
    }
    this.#all = EVERYTHING.some((scope) => scopes.includes(scope));
    this.#exact = exact;
    this.#whole = whole;
    this.#some = some;
  }

  /** Whether a scope is granted: itself, its action for every resource, or, for `NAME@VERSION`, every version of the name. */
  covers(scope: string): boolean {
    if (this.#all || this.#exact.has(scope) || this.#whole.has(actionOf(scope))) return true;
    const at = scope.lastIndexOf('@');
    return at > 0 && this.#exact.has(scope.slice(0, at));
  }

  /** Whether an action is granted for any resource. */
  coversSome(action: string): boolean {
    return this.#all || this.#some.has(action);
  }
}

function actionOf(scope: string): string {
  const colon = scope.indexOf(':');
  return colon < 0 ? scope : scope.slice(0, colon);
}
