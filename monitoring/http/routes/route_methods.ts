import type { FastifyInstance } from 'fastify';

/** Which methods a path has, for 405 and OPTIONS. */
export class RouteMethods {
  readonly #byPattern = new Map<string, { readonly matches: RegExp; readonly methods: Set<string> }>();

  /** Learns of every route that is registered from now on. */
  constructor(app: FastifyInstance) {
    app.addHook('onRoute', ({ url, method }) => {
      // For preflight requests to anything.
      if (url === '*' || url === '/*') return;
      let known = this.#byPattern.get(url);
      if (known === undefined) {
        known = { matches: expressionOf(url), methods: new Set() };
        this.#byPattern.set(url, known);
      }
      for (const each of Array.isArray(method) ? method : [method]) known.methods.add(each);
    });
  }

  /** @param path - without query, as it came; @returns sorted, OPTIONS among them; empty for a path without any route */
  of(path: string): readonly string[] {
    let decoded: string;
    try {
      decoded = decodeURI(path);
    } catch {
      return [];
    }
    const methods = new Set<string>();
    for (const { matches, methods: own } of this.#byPattern.values()) {
      if (matches.test(decoded)) for (const method of own) methods.add(method);
    }
    if (methods.size > 0) methods.add('OPTIONS');
    return [...methods].sort();
  }
}

/** `/features/:entity` as find-my-way matches it. */
function expressionOf(pattern: string): RegExp {
  const parts = pattern.split('/').map((part) => {
    if (part.startsWith(':')) return '[^/]+';
    return part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace('*', '.*');
  });
  return new RegExp(`^${parts.join('/')}$`);
}
