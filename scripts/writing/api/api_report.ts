import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { type Module, type ModuleItem, parseSync } from '@swc/core';

/** A declaration that the public surface consists of: what an entry exports, or what such a type refers to. */
interface Declaration {
  /** Path of the module, relative to the folder of declarations. */
  readonly module: string;
  readonly name: string;
  readonly text: string;
}

interface Scope {
  readonly path: string;
  readonly source: Buffer;
  /** Where spans of this module begin: they count on from module to module. */
  readonly start: number;
  /** Of this module, by local name; several for overloads and merged interfaces. */
  readonly declared: ReadonlyMap<string, readonly ModuleItem[]>;
  /** Local name to module and name there; `*` is a namespace. */
  readonly imported: ReadonlyMap<string, { readonly from: string; readonly name: string }>;
  /** Exported name to a local name, or to another module's. */
  readonly exported: ReadonlyMap<string, { readonly from?: string; readonly name: string }>;
}

/**
 * Returns a report of what one entry of the package promises: the names that it exports, and the declarations that they lead to, without comments. Types of other
 * packages, and namespaces of generated code, are named and not followed.
 *
 * @param folder - of the declarations that `npm run build` writes, absolute
 * @param entry - such as `public/features.d.ts`
 */
export function apiReport(folder: string, entry: string, aliases: Readonly<Record<string, string>>): string {
  const scopes = new Map<string, Scope>();
  const scopeOf = (path: string): Scope => {
    const known = scopes.get(path);
    if (known !== undefined) return known;
    const scope = readScope(path, folder, aliases);
    scopes.set(path, scope);
    return scope;
  };
  const found = new Map<string, Declaration>();
  const outside = new Set<string>();

  /** Follows re-exports to the module that declares the name. */
  const locate = (path: string, name: string): { readonly scope: Scope; readonly local: string } | undefined => {
    const scope = scopeOf(path);
    const target = scope.exported.get(name);
    if (target === undefined) return scope.declared.has(name) ? { scope, local: name } : undefined;
    if (target.from !== undefined) return isOutside(target.from) ? undefined : locate(target.from, target.name);
    const imported = scope.imported.get(target.name);
    if (imported !== undefined && !isOutside(imported.from)) return locate(imported.from, imported.name);
    return { scope, local: target.name };
  };

  const follow = (scope: Scope, local: string): void => {
    const module = relative(folder, scope.path);
    const key = `${module}\n${local}`;
    if (found.has(key)) return;
    const items = scope.declared.get(local);
    if (items === undefined) {
      const imported = scope.imported.get(local);
      if (imported === undefined) return;
      const isNamespace = imported.name === '*';
      if (isOutside(imported.from) || isNamespace) {
        const from = isOutside(imported.from) ? imported.from : relative(folder, imported.from).replace(/\.d\.ts$/, '');
        outside.add(`${imported.name} from '${from}'`);
        return;
      }
      const target = locate(imported.from, imported.name);
      if (target === undefined)
        throw new Error(`${module}: ${imported.name} of ${imported.from} is not declared there`);
      follow(target.scope, target.local);
      return;
    }
    const text = items.map((item) => textOf(scope, item)).join('\n');
    found.set(key, { module, name: local, text });
    for (const item of items) for (const name of identifiersIn(item)) if (name !== local) follow(scope, name);
  };

  const entryScope = scopeOf(join(folder, entry));
  const names = [...entryScope.exported.keys()].sort();
  for (const name of names) {
    const target = locate(entryScope.path, name);
    if (target === undefined) throw new Error(`${entry} exports ${name}, which no module declares`);
    follow(target.scope, target.local);
  }
  const declarations = [...found.values()].sort((a, b) => compare(`${a.module} ${a.name}`, `${b.module} ${b.name}`));
  const byModule = groupedByModule(declarations);
  return [
    `// Exports\n${names.map((name) => `export ${name}`).join('\n')}`,
    ...(outside.size === 0 ? [] : [`// Not followed\n${[...outside].sort().join('\n')}`]),
    ...[...byModule].map(
      ([module, items]) => `// ${module.replace(/\.d\.ts$/, '')}\n${items.map(({ text }) => text).join('\n')}`,
    ),
  ].join('\n\n');
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const isOutside = (path: string): boolean => !path.startsWith('/');

const FIRST_TOKEN = ';';

function readScope(path: string, folder: string, aliases: Readonly<Record<string, string>>): Scope {
  // Spans begin at the first token, wherever the file begins.
  const source = Buffer.concat([Buffer.from(FIRST_TOKEN), readFileSync(path)]);
  const module: Module = parseSync(source.toString('utf8'), { syntax: 'typescript' });
  const declared = new Map<string, ModuleItem[]>();
  const imported = new Map<string, { from: string; name: string }>();
  const exported = new Map<string, { from?: string; name: string }>();
  const resolved = (specifier: string): string => {
    const alias = Object.keys(aliases).find((prefix) => specifier.startsWith(prefix));
    if (alias !== undefined) return declarationsAt(join(folder, `${aliases[alias]}${specifier.slice(alias.length)}`));
    return specifier.startsWith('.') ? declarationsAt(resolve(dirname(path), specifier)) : specifier;
  };
  const declare = (name: string, item: ModuleItem, isExported: boolean): void => {
    declared.set(name, [...(declared.get(name) ?? []), item]);
    if (isExported) exported.set(name, { name });
  };
  for (const item of module.body) {
    switch (item.type) {
      case 'ImportDeclaration':
        for (const each of item.specifiers) {
          const name = each.type === 'ImportSpecifier' ? (each.imported?.value ?? each.local.value) : '*';
          imported.set(each.local.value, { from: resolved(item.source.value), name });
        }
        break;
      case 'ExportNamedDeclaration':
        for (const each of item.specifiers) {
          if (each.type !== 'ExportSpecifier') continue;
          const name = each.orig.value;
          const from = item.source?.value;
          exported.set(each.exported?.value ?? name, from === undefined ? { name } : { from: resolved(from), name });
        }
        break;
      case 'ExportDeclaration':
        for (const name of namesOf(item.declaration)) declare(name, item, true);
        break;
      default:
        for (const name of namesOf(item)) declare(name, item, false);
    }
  }
  return { path, source, start: module.span.start, declared, imported, exported };
}

function declarationsAt(path: string): string {
  const file = `${path.replace(/\.(d\.)?[jt]s$/, '')}.d.ts`;
  if (!existsSync(file)) throw new Error(`there are no declarations at ${file}: run npm run build`);
  return file;
}

interface Named {
  readonly identifier?: { readonly value: string };
  readonly id?: { readonly value: string };
  readonly declarations?: readonly { readonly id: { readonly value?: string } }[];
}

function namesOf(declaration: unknown): readonly string[] {
  const { identifier, id, declarations } = declaration as Named;
  if (declarations !== undefined) return declarations.flatMap((each) => each.id.value ?? []);
  const name = identifier?.value ?? id?.value;
  return name === undefined ? [] : [name];
}

/** Names that a declaration uses, its own members and parameters among them: only those that the module declares or imports are followed. */
function identifiersIn(node: unknown, names = new Set<string>()): ReadonlySet<string> {
  if (Array.isArray(node)) for (const each of node) identifiersIn(each, names);
  else if (typeof node === 'object' && node !== null) {
    const { type, value } = node as { readonly type?: string; readonly value?: unknown };
    if (type === 'Identifier' && typeof value === 'string') names.add(value);
    for (const each of Object.values(node)) if (typeof each === 'object') identifiersIn(each, names);
  }
  return names;
}

const COMMENT = /\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm;

function textOf(scope: Scope, item: ModuleItem): string {
  const { span } = item as { readonly span: { readonly start: number; readonly end: number } };
  const text = scope.source.subarray(span.start - scope.start, span.end - scope.start).toString('utf8');
  return text
    .replace(COMMENT, '')
    .replace(/^(export )?(declare )?/, '')
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .join('\n');
}

function groupedByModule(declarations: readonly Declaration[]): ReadonlyMap<string, readonly Declaration[]> {
  const groups = new Map<string, Declaration[]>();
  for (const each of declarations) groups.set(each.module, [...(groups.get(each.module) ?? []), each]);
  return groups;
}
