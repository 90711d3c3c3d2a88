import { type Node, parseExpressionAt } from 'acorn';
import { analyze, type Reference, type Scope } from 'eslint-scope';

/** A node of a syntax tree (ESTree). */
export type AnyNode = { readonly type: string; readonly [field: string]: unknown };
export const isNode = (value: unknown): value is AnyNode =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

/** Parses a function's source as an expression, or as the method of an object; undefined where JavaScript hides it (native, bound). */
export function parseFunction(source: string): AnyNode | undefined {
  for (const text of [`(${source})`, `({${source}})`, `({${source.replace(/^(static\s+)?/, '')}})`]) {
    try {
      const tree: Node = parseExpressionAt(text, 0, { ecmaVersion: 'latest', ranges: true });
      return tree as unknown as AnyNode;
    } catch {
      // The next form may fit.
    }
  }
  return undefined;
}

/** Names that JavaScript itself defines, and mean the same everywhere: not `process`, not `globalThis`, which hold what a source does not show. */
const LANGUAGE: ReadonlySet<string> = new Set(
  `Array ArrayBuffer Atomics BigInt BigInt64Array BigUint64Array Boolean DataView Date Error EvalError Float32Array Float64Array Infinity Int16Array Int32Array
  Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String Symbol SyntaxError TypeError URIError Uint16Array
  Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent isFinite isNaN parseFloat parseInt undefined
  Buffer TextDecoder TextEncoder URL URLSearchParams atob btoa structuredClone console`.split(/\s+/),
);

/** Istanbul's counters, and what esbuild keeps names with. */
const ADDED_BY_TOOLS = /^(cov_\w+|__name)$/;
export const COUNTER = /^cov_\w+$/;

interface Analysis {
  readonly global: Scope;
  readonly own: Scope | undefined;
}

function analysisOf(tree: AnyNode): Analysis {
  const program = {
    type: 'Program',
    sourceType: 'module',
    range: tree.range,
    body: [{ type: 'ExpressionStatement', range: tree.range, expression: tree }],
  };
  const manager = analyze(program as unknown as Parameters<typeof analyze>[0], {
    ecmaVersion: 2024,
    sourceType: 'module',
  });
  const own = manager.scopes.find(({ type, block }) => type === 'function' && block === (functionOf(tree) as unknown));
  return { global: manager.globalScope as Scope, own };
}

const FUNCTIONS: ReadonlySet<string> = new Set([
  'ArrowFunctionExpression',
  'FunctionExpression',
  'FunctionDeclaration',
]);

/** The function of a parsed source: the expression itself, or an object's only method. */
function functionOf(tree: AnyNode): AnyNode | undefined {
  if (FUNCTIONS.has(tree.type)) return tree;
  if (tree.type !== 'ObjectExpression') return undefined;
  const [property] = tree.properties as { readonly value?: AnyNode }[];
  return property?.value;
}

/**
 * Names that a function uses and that are neither its own nor the language's: captured variables and imported helpers, whose values its source does not show.
 * `this` is among them where it is used outside of a class.
 */
export function freeNamesOf(tree: AnyNode): readonly string[] {
  const names = new Set<string>();
  for (const { identifier } of analysisOf(tree).global.through) {
    const { name } = identifier as { readonly name: string };
    if (!LANGUAGE.has(name) && !ADDED_BY_TOOLS.test(name)) names.add(name);
  }
  if (usesThis(tree)) names.add('this');
  return [...names].sort();
}

function usesThis(node: AnyNode): boolean {
  if (node.type === 'ThisExpression' || node.type === 'Super' || node.type === 'MetaProperty') return true;
  if (node.type === 'ClassExpression' || node.type === 'ClassDeclaration') return false;
  return childrenOf(node).some(usesThis);
}

const childrenOf = (node: AnyNode): readonly AnyNode[] =>
  Object.values(node).flatMap((value) => (Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : []));

/** What a function reads of one of its parameters. */
export interface ParameterUse {
  /** Members that it reads, each a path: `previous.event.country` is `['event', 'country']`. */
  readonly paths: readonly (readonly string[])[];
  /** Functions that are called with the whole parameter, by name and position. */
  readonly passedTo: readonly { readonly callee: string; readonly position: number }[];
}

const NOTHING: ParameterUse = { paths: [], passedTo: [] };

/** Returns what a function reads of a parameter; undefined where its source does not show it: the parameter is returned, spread, or read by a computed name. */
export function parameterUseOf(tree: AnyNode, index: number): ParameterUse | undefined {
  const fn = functionOf(tree);
  const { own } = analysisOf(tree);
  if (fn === undefined || own === undefined) return undefined;
  const params = fn.params as readonly AnyNode[];
  if (params.some(({ type }) => type === 'RestElement') || isReferenced(own, 'arguments')) return undefined;
  const parameter = params[index];
  if (parameter === undefined) return NOTHING;
  return useOfPattern(parameter, own, parentsOf(tree));
}

const isReferenced = (scope: Scope, name: string): boolean => (scope.set.get(name)?.references.length ?? 0) > 0;

function useOfPattern(
  pattern: AnyNode,
  scope: Scope,
  parents: ReadonlyMap<AnyNode, AnyNode>,
): ParameterUse | undefined {
  if (pattern.type === 'AssignmentPattern') return useOfPattern(pattern.left as AnyNode, scope, parents);
  if (pattern.type === 'ObjectPattern') {
    const paths = keysOf(pattern);
    return paths === undefined ? undefined : { paths: paths.map((key) => [key]), passedTo: [] };
  }
  if (pattern.type !== 'Identifier') return undefined;
  const references = scope.set.get(pattern.name as string)?.references ?? [];
  const paths: string[][] = [];
  const passedTo: ParameterUse['passedTo'][number][] = [];
  for (const reference of references) {
    const use = useOfReference(reference, parents);
    if (use === undefined) return undefined;
    paths.push(...use.paths.map((path) => [...path]));
    passedTo.push(...use.passedTo);
  }
  return { paths, passedTo };
}

/** Keys of a pattern without a rest and without computed ones. */
function keysOf(pattern: AnyNode): readonly string[] | undefined {
  const properties = pattern.properties as readonly AnyNode[];
  const keys = properties.map((property) => {
    const key = property.key as AnyNode | undefined;
    if (key === undefined || property.computed === true) return undefined;
    return String(key.name ?? key.value);
  });
  return keys.every((key) => key !== undefined) ? keys : undefined;
}

const COMPARISONS: ReadonlySet<unknown> = new Set(['===', '!==', '==', '!=']);

function useOfReference(reference: Reference, parents: ReadonlyMap<AnyNode, AnyNode>): ParameterUse | undefined {
  const path: string[] = [];
  let node = reference.identifier as unknown as AnyNode;
  for (;;) {
    const parent = parents.get(node);
    if (parent === undefined) return undefined;
    if (parent.type === 'ChainExpression') {
      node = parent;
      continue;
    }
    if (parent.type === 'MemberExpression' && parent.object === node) {
      const property = parent.property as AnyNode;
      const isText = property.type === 'Literal' && typeof property.value === 'string';
      if (parent.computed === true && !isText) return path.length === 0 ? undefined : { paths: [path], passedTo: [] };
      path.push(String(property.name ?? property.value));
      node = parent;
      continue;
    }
    if (path.length > 0) return { paths: [path], passedTo: [] };
    if (isHarmless(parent, node)) return NOTHING;
    if (parent.type === 'CallExpression' && parent.callee !== node) {
      const callee = calleeName(parent.callee as AnyNode);
      const position = (parent.arguments as AnyNode[]).indexOf(node);
      return callee === undefined ? undefined : { paths: [], passedTo: [{ callee, position }] };
    }
    if (parent.type === 'VariableDeclarator' && (parent.id as AnyNode).type === 'ObjectPattern') {
      const keys = keysOf(parent.id as AnyNode);
      return keys === undefined ? undefined : { paths: keys.map((key) => [key]), passedTo: [] };
    }
    return undefined;
  }
}

/** Compared, negated or tested: nothing of it is read. */
function isHarmless(parent: AnyNode, node: AnyNode): boolean {
  if (parent.type === 'BinaryExpression') return COMPARISONS.has(parent.operator);
  if (parent.type === 'UnaryExpression') return true;
  if (parent.type === 'LogicalExpression') return parent.left === node && parent.operator === '&&';
  return (parent.type === 'ConditionalExpression' || parent.type === 'IfStatement') && parent.test === node;
}

/** `helper`, also as compilers call imports: `(0, helper)(…)`. */
function calleeName(callee: AnyNode): string | undefined {
  if (callee.type === 'Identifier') return callee.name as string;
  if (callee.type !== 'SequenceExpression') return undefined;
  const last = (callee.expressions as AnyNode[]).at(-1);
  return last?.type === 'Identifier' ? (last.name as string) : undefined;
}

function parentsOf(tree: AnyNode): ReadonlyMap<AnyNode, AnyNode> {
  const parents = new Map<AnyNode, AnyNode>();
  const visit = (node: AnyNode): void => {
    for (const child of childrenOf(node)) {
      parents.set(child, node);
      visit(child);
    }
  };
  visit(tree);
  return parents;
}
