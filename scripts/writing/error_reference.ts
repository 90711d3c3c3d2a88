import { readFileSync } from 'node:fs';
import { parseSync } from '@swc/core';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';

// docs/errors.md: every code with its message, its meaning and what follows from it, as the classes declare them.

const FOLDERS =
  'kernel,configs,monitoring,storage,connectors,registry,feature_store,pipelines,serving,workflows,client,cli';

/** Codes of one prefix, and the document that says more of them; the longest prefix counts. */
const AREAS: Readonly<Record<string, { readonly title: string; readonly document: string }>> = {
  ARCHIVE: { title: 'Archive of raw events', document: 'evolving.md' },
  CLIENT: { title: 'Clients', document: 'clients.md' },
  CLI: { title: 'Command line', document: 'commands.md' },
  CONFIG: { title: 'Configuration', document: 'configuration.md' },
  CONNECTOR: { title: 'Connectors', document: 'connectors.md' },
  CONSOLE: { title: 'Console', document: 'monitoring.md' },
  FEATURE_STORE: { title: 'Feature store', document: 'features.md' },
  GATEWAY: { title: 'Gateway', document: 'http.md' },
  HTTP: { title: 'HTTP', document: 'http.md' },
  KERNEL: { title: 'Values and keys', document: 'http.md' },
  MONITORING: { title: 'Monitoring', document: 'monitoring.md' },
  PIPELINE: { title: 'Pipelines', document: 'pipelines.md' },
  REGISTRY: { title: 'Models', document: 'models.md' },
  SERVING: { title: 'Serving', document: 'serving.md' },
  STORAGE: { title: 'Files', document: 'reliability.md' },
  WORKFLOWS: { title: 'Workflows', document: 'workflows.md' },
};

/** What is answered or raised under a code that no class of this repository's TypeScript declares. */
const UNDECLARED: readonly DeclaredError[] = [
  ...(
    [
      ['HTTP_BAD_REQUEST', 'The request is none that the HTTP server can read.', 400],
      ['HTTP_BODY_TOO_LARGE', 'The body is larger than the route takes: send less at once.', 413],
      ['HTTP_HEADERS_TOO_LARGE', 'The headers are larger than 16 KB together.', 431],
      ['HTTP_INTERNAL', 'An error that was not expected. The log has it under the id of the request.', 500],
      ['HTTP_REQUEST_TIMEOUT', 'The request did not arrive in time.', 408],
      ['HTTP_URL_TOO_LONG', 'A part of the path is longer than 1,024 characters.', 414],
    ] as const
  ).map(([code, meaning, status]) => ({
    ...{ code, meaning, status, messages: [], name: undefined, file: 'monitoring/http/error_answer.ts' },
    ...{ fault: status === 500 ? ('internal' as const) : ('caller' as const), retryable: false },
  })),
  {
    code: 'CLIENT_INVALID_FRAME',
    name: 'InvalidFrameError',
    file: 'python/src/headwater/errors.py',
    meaning: 'A data frame or a list of rows lacks what a request of the Python package needs.',
    ...{ messages: [], fault: 'caller', retryable: false, status: undefined },
  },
];

export interface DeclaredError {
  readonly code: string;
  /** The class; undefined for what the HTTP server refuses itself. */
  readonly name: string | undefined;
  readonly file: string;
  /** The class's description. */
  readonly meaning: string;
  /** Messages, with names for what differs: `the database in {folder} does not open`. */
  readonly messages: readonly string[];
  /** Undefined where it depends. */
  readonly fault: 'caller' | 'dependency' | 'internal' | undefined;
  /** Undefined where it depends. */
  readonly retryable: boolean | undefined;
  /** Of HTTP; undefined where it follows from the fault. */
  readonly status: number | undefined;
}

type Node = { readonly type: string; readonly [key: string]: unknown };

/** Returns every error that is thrown on purpose, by code. */
export function declaredErrors(): readonly DeclaredError[] {
  const files = globSync([`{${FOLDERS}}/**/*.ts`], { cwd: projectRoot });
  const found = files.flatMap((file) => errorsIn(file, readFileSync(assetPath(file), 'utf8')));
  return [...found, ...UNDECLARED].sort((one, other) =>
    `${one.code} ${one.file}` < `${other.code} ${other.file}` ? -1 : 1,
  );
}

/** Returns the errors that one file declares. */
export function errorsIn(file: string, source: string): readonly DeclaredError[] {
  if (!source.includes('readonly code = ')) return [];
  const { body } = parseSync(source, { syntax: 'typescript', target: 'es2022' });
  const found: DeclaredError[] = [];
  visit(body, (node) => {
    if (node.type !== 'ClassDeclaration' && node.type !== 'ClassExpression') return;
    const members = node.body as readonly Node[];
    const code = literalOf(propertyOf(members, 'code'));
    if (typeof code !== 'string') return;
    const name = String((node.identifier as Node).value);
    const [message, details] = superArguments(members);
    const status = literalOf(propertyOf(members, 'httpStatus'));
    const fault = literalOf(valueIn(details, 'fault'));
    const retryable = literalOf(valueIn(details, 'retryable'));
    found.push({
      ...{ code, name, file, meaning: descriptionOf(name, source), messages: messagesIn(message) },
      fault: typeof fault === 'string' ? (fault as DeclaredError['fault']) : undefined,
      retryable: typeof retryable === 'boolean' ? retryable : undefined,
      status: typeof status === 'number' ? status : undefined,
    });
  });
  return found;
}

const propertyOf = (members: readonly Node[], name: string): Node | undefined =>
  members.find((member) => member.type === 'ClassProperty' && (member.key as Node).value === name)?.value as
    | Node
    | undefined;

const valueIn = (object: Node | undefined, key: string): Node | undefined => {
  const properties = (object?.properties ?? []) as readonly { readonly key?: Node; readonly value?: Node }[];
  return properties.find((property) => property.key?.value === key)?.value;
};

const LITERALS: ReadonlySet<string> = new Set(['StringLiteral', 'NumericLiteral', 'BooleanLiteral']);
const literalOf = (node: Node | null | undefined): unknown =>
  node !== undefined && node !== null && LITERALS.has(node.type) ? node.value : undefined;

function superArguments(members: readonly Node[]): readonly (Node | undefined)[] {
  let found: readonly Node[] = [];
  const made = members.find(({ type }) => type === 'Constructor');
  visit(made, (node) => {
    if (node.type !== 'CallExpression' || (node.callee as Node).type !== 'Super') return;
    found = (node.arguments as readonly { readonly expression: Node }[]).map(({ expression }) => expression);
  });
  return found;
}

/** The strings and templates that an expression may be: one, or those of its choices. */
function messagesIn(node: Node | undefined): readonly string[] {
  if (node === undefined) return [];
  if (node.type === 'StringLiteral') return [String(node.value)];
  if (node.type === 'TemplateLiteral') return [textOf(node)];
  if (node.type === 'ParenthesisExpression') return messagesIn(node.expression as Node);
  if (node.type === 'ConditionalExpression')
    return [...messagesIn(node.consequent as Node), ...messagesIn(node.alternate as Node)];
  return [];
}

function textOf(template: Node): string {
  const quasis = template.quasis as readonly { readonly cooked: string }[];
  const expressions = template.expressions as readonly Node[];
  return quasis
    .map(({ cooked }, at) => {
      const expression = expressions[at];
      return expression === undefined ? cooked : `${cooked}{${nameOf(expression)}}`;
    })
    .join('');
}

/** A name for what a template holds. */
function nameOf(node: Node): string {
  switch (node.type) {
    case 'Identifier':
      return String(node.value);
    case 'MemberExpression': {
      const property = nameOf(node.property as Node);
      return property === '…' ? nameOf(node.object as Node) : property;
    }
    case 'CallExpression': {
      const [first] = node.arguments as readonly { readonly expression: Node }[];
      const given = first === undefined ? '…' : nameOf(first.expression);
      const { type, object, value } = node.callee as Node & { readonly object?: Node };
      if (value === 'knownNames') return 'names that exist';
      return given === '…' && type === 'MemberExpression' ? nameOf(object as Node) : given;
    }
    case 'ConditionalExpression':
      return nameOf(node.alternate as Node) === '…' ? nameOf(node.consequent as Node) : nameOf(node.alternate as Node);
    case 'BinaryExpression':
      return nameOf(node.left as Node);
    default:
      return '…';
  }
}

function visit(value: unknown, seen: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const each of value) visit(each, seen);
  } else if (typeof value === 'object' && value !== null) {
    if (typeof (value as Node).type === 'string') seen(value as Node);
    for (const each of Object.values(value)) visit(each, seen);
  }
}

/** The comment before a class, without its tags. */
function descriptionOf(name: string, source: string): string {
  const [before] = source.split(new RegExp(`^\\s*(?:export )?(?:abstract )?class ${name}\\b`, 'm'));
  const comment = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*$/.exec(before ?? '')?.[1] ?? '';
  return comment
    .replace(/^\s*\* ?/gm, '')
    .replace(/\{@link (\w+)\}/g, '`$1`')
    .replace(/\s*@\w[\s\S]*$/, '')
    .replace(/\s+/g, ' ')
    .trim();
}

const FAULTS = { caller: 'the caller', dependency: 'a dependency', internal: 'the platform' } as const;
const STATUS_BY_FAULT = { caller: 400, dependency: 503, internal: 500 } as const;
/** Prefixes of errors that no listener answers with. */
const NOT_ANSWERED = /^(?:CLI|CLIENT|CONFIG)_/;

/** Returns docs/errors.md. */
export function errorsReference(errors: readonly DeclaredError[] = declaredErrors()): string {
  const areas = Object.entries(AREAS).map(([prefix, { title, document }]) => {
    const own = errors.filter(({ code }) => areaOf(code) === prefix);
    const sections = [...new Set(own.map(({ code }) => code))].map((code) =>
      sectionOf(
        code,
        own.filter((each) => each.code === code),
      ),
    );
    return [`## ${title}`, `[${document.replace('.md', '')}](${document})`, ...sections].join('\n\n');
  });
  return `${[
    '# Error codes',
    'Written by `npm run reference` from the code; do not edit.',
    'Every error thrown on purpose has one of these codes; its message names the thing, its value and what to do. `{name}` stands for what differs. A message on the command line says how to see its code here (`headwater errors show CODE`); answers of listeners lead here by their `type`.',
    ...areas,
  ].join('\n\n')}\n`;
}

/** @throws for a code whose prefix has no area */
function areaOf(code: string): string {
  const prefix = Object.keys(AREAS)
    .filter((each) => code.startsWith(`${each}_`))
    .sort((one, other) => other.length - one.length)[0];
  if (prefix === undefined)
    throw new RangeError(`${code}: no area of scripts/writing/error_reference.ts has its prefix`);
  return prefix;
}

function sectionOf(code: string, declared: readonly DeclaredError[]): string {
  const bodies = declared.map(({ meaning, messages, name, file, fault, retryable, status }) => {
    const answered = status ?? (fault === undefined ? undefined : STATUS_BY_FAULT[fault]);
    const facts = [
      `Fault of ${fault === undefined ? 'the caller or a dependency, by the cause' : FAULTS[fault]}.`,
      retryable === undefined
        ? 'Whether to repeat depends on the cause.'
        : retryable
          ? 'Repeat it later.'
          : 'Repeating does not help.',
      ...(NOT_ANSWERED.test(code) || answered === undefined ? [] : [`HTTP ${answered}.`]),
      `${name === undefined ? 'Declared' : `\`${name}\``} in ${file}.`,
    ];
    return [
      ...(meaning === '' ? [] : [meaning]),
      ...messages.map((message) => `> ${message.replaceAll('\n', ' ').replaceAll('<', '&lt;')}`),
      facts.join(' '),
    ].join('\n\n');
  });
  return [`### ${code}`, ...bodies].join('\n\n');
}
