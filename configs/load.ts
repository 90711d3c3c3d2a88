import { isUtf8 } from 'node:buffer';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import type { z } from 'zod';
import { ConfigError } from './errors.ts';

/** Where an environment variable lands in the configuration, and how its text is read. */
export interface EnvironmentVariable {
  /** Dotted path: `offlineStore.host`. */
  readonly path: string;
  readonly type: 'string' | 'number' | 'boolean' | 'list';
  /** Applies only when the value at this path equals this: `DATABASE_HOST` means nothing to PGlite. */
  readonly when?: { readonly path: string; readonly is: string };
}

/** A value with a new name: the old one works for one more version. */
export interface RenamedValue {
  /** Dotted path: `broker.kind`. */
  readonly path: string;
  readonly old: string;
  readonly now: string;
}

export interface LoadOptions<T> {
  readonly schema: z.ZodType<T>;
  /** Folder of `default.yaml` and `<environment>.yaml`. */
  readonly directory: string;
  /** Another such folder, laid over the first, file by file: a project's own. Either may lack a file, not both. */
  readonly over?: string | undefined;
  /** What code says, laid over `default.yaml` of the first folder. */
  readonly defined?: Readonly<Record<string, unknown>> | undefined;
  /** Which files are laid over the default, in this order, comma-separated: `services`, or `services,kinesis`. */
  readonly environment: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly variables: Readonly<Record<string, EnvironmentVariable>>;
  /** Laid over everything else: command-line flags, by dotted path. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  /** Values with a new name. */
  readonly renamed?: readonly RenamedValue[];
  /** Called for each place that uses an old name, with a message for the operator. */
  readonly onOldName?: (message: string) => void;
}

/**
 * Configuration, lowest to highest: `default.yaml`, what code defines, the project's `default.yaml`, each `<environment>.yaml` (all with `${VAR}` and `${VAR:-default}`
 * replaced), named environment variables, overrides. The result is validated, complete and deeply frozen.
 *
 * @throws {@link ConfigError} listing every problem at once: unset `${VAR}`s, unreadable values, unknown or invalid
 *   keys. Values are not echoed, since they may be secrets.
 */
export function loadConfig<T extends object>(given: LoadOptions<T>): Readonly<T> {
  const problems: string[] = [];
  const options = { ...given, env: withFiles(given, problems) };
  const tree: Tree = {};
  const layer = (folders: readonly string[], name: string): void => {
    for (const folder of folders) {
      const read = readYaml(folder, name, options.env, problems);
      for (const renamed of options.renamed ?? []) replaceOldName(read, renamed, `${name}.yaml`, options.onOldName);
      merge(tree, read);
    }
  };
  layer([options.directory], 'default');
  merge(tree, structuredClone(options.defined ?? {}) as Tree);
  const folders = [options.directory, ...(options.over === undefined ? [] : [options.over])];
  layer(foldersWith(folders.slice(1), 'default'), 'default');
  for (const name of options.environment.split(',').map((part) => part.trim())) {
    const having = foldersWith(folders, name);
    if (having.length === 0) {
      throw new ConfigError(
        `there is no ${name}.yaml in ${folders.join(' or ')}: ENVIRONMENT (and INGEST_SINK, FEATURE_STORE_BACKEND) name files there, such as embedded, services or kinesis`,
      );
    }
    layer(having, name);
  }
  const set = Object.entries(options.variables).filter(([name]) => (options.env[name] ?? '') !== '');
  for (const [name, variable] of set) {
    const { when } = variable;
    if (when !== undefined && getPath(tree, when.path) !== when.is) continue;
    const value = readVariable(options.env[name] as string, variable.type);
    if (value === undefined) problems.push(`environment variable ${name} must be a ${variable.type}`);
    else setPath(tree, variable.path, value);
  }
  for (const [path, value] of Object.entries(options.overrides ?? {})) {
    if (value !== undefined) setPath(tree, path, value);
  }
  for (const renamed of options.renamed ?? []) replaceOldName(tree, renamed, 'the environment', options.onOldName);
  const parsed = options.schema.safeParse(tree);
  if (!parsed.success) problems.push(...parsed.error.issues.map(describeIssue));
  if (problems.length > 0 || !parsed.success) {
    const list = problems.map((problem) => `  - ${problem}`).join('\n');
    throw new ConfigError(
      `the configuration for environment "${options.environment}" has ${problems.length} problem${problems.length === 1 ? '' : 's'}:\n${list}`,
    );
  }
  return deepFreeze(parsed.data);
}

/**
 * Secrets as Docker and Kubernetes mount them: `DATABASE_PASSWORD_FILE` instead of `DATABASE_PASSWORD`, or a folder (SECRETS_DIRECTORY) with a file of a variable's
 * name for each. A variable that is set, or has a file of its own, is not read from the folder.
 */
function withFiles({ env, variables }: LoadOptions<object>, problems: string[]): LoadOptions<object>['env'] {
  const read: Record<string, string> = {};
  const readInto = (name: string, path: string, which: string): void => {
    try {
      const bytes = readFileSync(path);
      if (!isUtf8(bytes)) problems.push(`${which} that is not UTF-8`);
      read[name] = bytes.toString('utf8').trimEnd();
    } catch {
      // Its value is not shown: a secret may have been put there by mistake.
      problems.push(`${which} that cannot be read`);
    }
  };
  for (const name of Object.keys(variables)) {
    const path = env[`${name}_FILE`] ?? '';
    if (path === '') continue;
    if ((env[name] ?? '') !== '')
      problems.push(`environment variables ${name} and ${name}_FILE are both set: one says it`);
    readInto(name, path, `environment variable ${name}_FILE names a file`);
  }
  const folder = env.SECRETS_DIRECTORY ?? '';
  if (folder === '') return { ...env, ...read };
  for (const name of secretFilesIn(folder, problems)) {
    const isSet = (env[name] ?? '') !== '' || (env[`${name}_FILE`] ?? '') !== '';
    if (!isSet) readInto(name, join(folder, name), `the folder of SECRETS_DIRECTORY has a file ${name}`);
  }
  return { ...env, ...read };
}

/** Names of variables alone: Kubernetes keeps folders of its own (`..data`) beside the files. */
const SECRET_FILE = /^[A-Z][A-Z0-9_]*$/;

function secretFilesIn(folder: string, problems: string[]): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => SECRET_FILE.test(name));
  } catch {
    problems.push('environment variable SECRETS_DIRECTORY names a folder that cannot be read');
    return [];
  }
}

type Tree = { [key: string]: unknown };

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

const foldersWith = (folders: readonly string[], name: string): readonly string[] =>
  folders.filter((folder) => existsSync(join(folder, `${name}.yaml`)));

function readYaml(directory: string, name: string, env: LoadOptions<object>['env'], problems: string[]): Tree {
  const file = join(directory, `${name}.yaml`);
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read`, cause);
  }
  if (!isUtf8(bytes)) throw new ConfigError(`${file} is not UTF-8: save it in this encoding`);
  let parsed: unknown;
  try {
    parsed = parseYaml(bytes.toString('utf8'));
  } catch (cause) {
    const where = cause instanceof YAMLParseError ? ` at line ${cause.linePos?.[0].line ?? '?'}` : '';
    throw new ConfigError(`${file} is not valid YAML${where}`, cause);
  }
  if (parsed === null || parsed === undefined) return {};
  if (!isTree(parsed)) throw new ConfigError(`${file} must hold a mapping of keys to values at its top`);
  return substitute(parsed, env, name, problems) as Tree;
}

const WHOLE_REFERENCE = /^\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}$/;
const REFERENCE = /\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}/g;

/** Replaces references in every string; a value that is one reference alone keeps YAML's types (`${PORT:-80}` → 80). */
function substitute(value: unknown, env: LoadOptions<object>['env'], at: string, problems: string[]): unknown {
  if (Array.isArray(value)) return value.map((item, index) => substitute(item, env, `${at}.${index}`, problems));
  if (isTree(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, substitute(item, env, `${at}.${key}`, problems)]),
    );
  }
  if (typeof value !== 'string') return value;
  const lookUp = (name: string, fallback: string | undefined): string => {
    const found = env[name] ?? fallback;
    if (found === undefined) problems.push(`environment variable ${name} is not set; ${at} needs it`);
    return found ?? '';
  };
  const whole = WHOLE_REFERENCE.exec(value);
  if (whole !== null) return readScalar(lookUp(whole[1] as string, whole[2]));
  return value.replace(REFERENCE, (_, name: string, fallback: string | undefined) => lookUp(name, fallback));
}

/** Numbers, booleans and null by YAML's own rules; whatever else that text would mean in YAML stays text. */
function readScalar(text: string): unknown {
  try {
    const value: unknown = parseYaml(text);
    return typeof value === 'number' || typeof value === 'boolean' ? value : text;
  } catch {
    return text;
  }
}

function readVariable(text: string, type: EnvironmentVariable['type']): unknown {
  switch (type) {
    case 'string':
      return text;
    case 'number': {
      const value = Number(text);
      return Number.isFinite(value) ? value : undefined;
    }
    case 'boolean':
      if (/^(true|1|yes|on)$/i.test(text)) return true;
      return /^(false|0|no|off)$/i.test(text) ? false : undefined;
    case 'list':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '');
  }
}

function replaceOldName(
  tree: Tree,
  { path, old, now }: RenamedValue,
  where: string,
  onOldName: LoadOptions<object>['onOldName'],
): void {
  if (getPath(tree, path) !== old) return;
  setPath(tree, path, now);
  onOldName?.(
    `${path}: ${old} in ${where} is the old name of ${now}; the next version refuses it. Write ${path}: ${now}`,
  );
}

function merge(target: Tree, source: Tree): void {
  for (const [key, value] of Object.entries(source)) {
    const existing = target[key];
    // A section that changes kind starts afresh: keys of a disk log mean nothing to Kafka.
    const sameKind = isTree(existing) && isTree(value) && (value.kind === undefined || value.kind === existing.kind);
    if (sameKind) merge(existing, value);
    else target[key] = value;
  }
}

function getPath(tree: Tree, path: string): unknown {
  return path.split('.').reduce<unknown>((node, key) => (isTree(node) ? node[key] : undefined), tree);
}

function setPath(tree: Tree, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() as string;
  let node = tree;
  for (const key of keys) {
    if (!isTree(node[key])) node[key] = {};
    node = node[key] as Tree;
  }
  node[last] = value;
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => (path === '' ? key : `${path}.${key}`)).join(', ');
    return `${keys}: unknown key`;
  }
  return `${path === '' ? '(top)' : path}: ${issue.message}`;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
