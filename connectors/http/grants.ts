// What scopes and roles allow; the console's page decides by the same words what it shows.

const VIEWER = ['console:read', 'features', 'explain', 'workflows'];
/** Scopes that stand for others. `admin` is one more: it stands for all. */
const ROLES: Readonly<Record<string, readonly string[]>> = {
  viewer: VIEWER,
  operator: [...VIEWER, 'console:replay', 'routing', 'operate'],
  approver: [...VIEWER, 'promote', 'approve', 'role'],
};
/** What a token's claim of roles may name, with what each allows. */
export const ROLE_NAMES: ReadonlySet<string> = new Set([...Object.keys(ROLES), 'admin']);

const EVERYTHING = ['admin', '*'];

/** What a caller may do. */
export class Grants {
  /** Of keys and tokens without scopes. */
  static readonly everything = new Grants(['admin']);

  /** Everything that is granted, roles with what they stand for; `admin` alone where that is all. */
  readonly scopes: readonly string[];
  readonly #all: boolean;
  readonly #exact: ReadonlySet<string>;
  /** Actions that are granted for every resource. */
  readonly #whole: ReadonlySet<string>;
  /** Actions that are granted for some resource. */
  readonly #some: ReadonlySet<string>;

  /** @param given - scopes, roles among them */
  constructor(given: readonly string[]) {
    const [exact, whole, some] = [new Set<string>(), new Set<string>(), new Set<string>()];
    const scopes = given.flatMap((scope) => [scope, ...(Object.hasOwn(ROLES, scope) ? (ROLES[scope] ?? []) : [])]);
    this.scopes = EVERYTHING.some((scope) => scopes.includes(scope)) ? ['admin'] : [...new Set(scopes)];
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
