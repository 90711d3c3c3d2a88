import { stableHash32 } from '../hashes/hash.ts';
import {
  type AnyNode,
  COUNTER,
  freeNamesOf,
  isNode,
  type ParameterUse,
  parameterUseOf,
  parseFunction,
} from './function_source.ts';

/** What is known of a function from its source alone. */
export interface FunctionIdentity {
  /** 16 hex digits: equal for functions of equal source, however they were compiled. */
  readonly hash: string;
  /** Names it uses that are neither its own nor JavaScript's: captured variables and imported helpers, whose changes its source does not show. */
  readonly free: readonly string[];
}

const known = new WeakMap<object, FunctionIdentity>();
const SECOND_HASH = 0x5bd1e995;

/**
 * Returns a function's identity from its source, normalised so that formatting, comments, quotes, parentheses and what compilers add (esbuild's names, counters of
 * coverage, indirect calls of imports) make no difference. A function whose source JavaScript hides (native, bound) is identified by its name.
 */
export function functionIdentityOf(fn: (...args: never[]) => unknown): FunctionIdentity {
  let identity = known.get(fn);
  if (identity === undefined) {
    identity = identify(Function.prototype.toString.call(fn), fn.name);
    known.set(fn, identity);
  }
  return identity;
}

/** Returns a short hash of a text: 64 bits as 16 hex digits. */
export const textHash = (text: string): string =>
  stableHash32(text).toString(16).padStart(8, '0') + stableHash32(text, SECOND_HASH).toString(16).padStart(8, '0');

function identify(source: string, name: string): FunctionIdentity {
  const tree = parseFunction(source);
  if (tree === undefined)
    return { hash: textHash(`hidden ${name} ${source.length}`), free: [name === '' ? 'native code' : name] };
  return { hash: textHash(JSON.stringify(normalised(tree))), free: freeNamesOf(tree) };
}

/** Returns what a function reads of its parameter at `index`; undefined where its source does not show it. */
export function parameterUse(fn: (...args: never[]) => unknown, index: number): ParameterUse | undefined {
  const tree = parseFunction(Function.prototype.toString.call(fn));
  return tree === undefined ? undefined : parameterUseOf(tree, index);
}

/** Fields that hold where a node was, or how it was written. */
const FORM_ONLY: ReadonlySet<string> = new Set([
  'start',
  'end',
  'range',
  'raw',
  'shorthand',
  'expression',
  'directive',
]);

const hasChain = (part: unknown): boolean => typeof part === 'object' && part !== null && 'chain' in part;
const withoutParentheses = (node: AnyNode): AnyNode =>
  node.type === 'ParenthesizedExpression' ? withoutParentheses(node.expression as AnyNode) : node;

/** The node as plain data, without what makes no difference; undefined where all of it makes none. */
function normalised(node: AnyNode): unknown {
  const same = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(same).filter((part) => part !== undefined);
    return isNode(value) ? normalised(value) : typeof value === 'bigint' ? `${value}n` : value;
  };
  // `(a?.b).c` fails where `a?.b.c` is undefined.
  const endOfChain = (part: unknown): unknown => {
    const inner = withoutParentheses(part as AnyNode);
    return inner.type === 'ChainExpression' ? { chain: same(inner) } : same(inner);
  };
  switch (node.type) {
    case 'ParenthesizedExpression':
    case 'ChainExpression':
      return same(node.expression);
    case 'EmptyStatement':
      return undefined;
    case 'ExpressionStatement':
      return isCounter(node.expression) || node.directive !== undefined
        ? undefined
        : { statement: same(node.expression) };
    case 'SequenceExpression': {
      const parts = (node.expressions as AnyNode[]).filter(
        (part, at, all) => !isCounter(part) && !isIndirection(part, at, all),
      );
      return parts.length === 1 ? same(parts[0]) : { sequence: same(parts) };
    }
    case 'UnaryExpression':
      if (node.operator === 'void' && (node.argument as AnyNode).type === 'Literal') return { name: 'undefined' };
      break;
    case 'TemplateLiteral':
      if ((node.expressions as unknown[]).length === 0) {
        const [text] = node.quasis as { value: { cooked: string } }[];
        return { value: text?.value.cooked, type: 'string' };
      }
      break;
    case 'Literal':
      return node.regex === undefined ? { value: same(node.value), type: typeof node.value } : { regex: node.regex };
    case 'Identifier':
      return { name: node.name };
    case 'CallExpression': {
      const [inner] = node.arguments as AnyNode[];
      if ((node.callee as AnyNode).name === '__name' && inner !== undefined) return same(inner);
      const callee = endOfChain(node.callee);
      if (hasChain(callee)) return { call: callee, arguments: same(node.arguments), optional: node.optional === true };
      break;
    }
    case 'MemberExpression': {
      const property = node.property as AnyNode;
      const isNamed = node.computed !== true || (property.type === 'Literal' && typeof property.value === 'string');
      const name = isNamed ? (property.name ?? property.value) : same(property);
      return { of: endOfChain(node.object), member: name, optional: node.optional === true };
    }
    case 'Property':
    case 'MethodDefinition':
    case 'PropertyDefinition': {
      const key = node.key as AnyNode;
      const name = node.computed === true ? same(key) : (key.name ?? key.value);
      return { key: name, kind: node.kind, static: node.static, method: node.method, value: same(node.value) };
    }
    case 'ArrowFunctionExpression':
    case 'FunctionExpression':
    case 'FunctionDeclaration': {
      const body = node.body as AnyNode;
      const statements = body.type === 'BlockStatement' ? same(body.body) : [{ return: same(body) }];
      return {
        function: node.type,
        async: node.async,
        generator: node.generator,
        params: same(node.params),
        body: statements,
      };
    }
    case 'ReturnStatement':
      return { return: same(node.argument) };
    case 'BlockStatement':
      return { block: same(node.body) };
    case 'IfStatement':
      return { if: same(node.test), yes: block(node.consequent, same), no: block(node.alternate, same) };
  }
  const isLoop = /^(For|While|DoWhile)/.test(node.type);
  const plain: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(node))
    if (!FORM_ONLY.has(field)) plain[field] = isLoop && field === 'body' ? block(value, same) : same(value);
  return plain;
}

/** Statements of a branch, in braces or not; an empty one is none. */
function block(node: unknown, same: (value: unknown) => unknown): unknown {
  if (!isNode(node)) return undefined;
  const statements = same(node.type === 'BlockStatement' ? node.body : [node]) as unknown[];
  return statements.length === 0 ? undefined : statements;
}

/** `cov_x().s[1]++` of Istanbul. */
function isCounter(node: unknown): boolean {
  if (!isNode(node)) return false;
  if (node.type === 'UpdateExpression') return isCounter(node.argument);
  if (node.type === 'MemberExpression') return isCounter(node.object);
  return node.type === 'CallExpression' && COUNTER.test(String((node.callee as AnyNode).name ?? ''));
}

/** The 0 of `(0, helper)(…)`. */
const isIndirection = (node: AnyNode, at: number, all: readonly AnyNode[]): boolean =>
  at === 0 && all.length === 2 && node.type === 'Literal' && node.value === 0;
