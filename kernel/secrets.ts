// Credentials are kept out of whatever leaves the process as text: log lines, error messages, spans, `headwater config`. By the names of fields, by the
// form of URLs, and by value for what configuration holds.

export const REDACTED = '[redacted]';

/** Fields and variables that hold credentials, by the end of their name; `tokenUrl` or `PASSWORD_FILE` say where one is. */
const SECRET_NAME =
  /(?:passw(?:or)?d|passphrase|pwd|secret|token|api[-_]?keys?|credentials?|authorization|cookie|private[-_]?key|access[-_]?key)s?$/i;
export const isSecretName = (name: string): boolean => SECRET_NAME.test(name);

/** Shorter ones would be found in words that are none. */
const SHORTEST = 8;
/** Development's passwords, which are names of other things as well. */
const NO_SECRETS = new Set(['headwater', 'postgres', 'password', 'changeme', 'development-only', 'anonymous']);

const WORDS = 'passw(?:or)?d|pwd|secret|token|api[-_]?key|signature|credential|authorization';
/** What comes before `@` in a URL. The end of a long scheme will do: a search for its beginning takes the square of its length. */
const USERINFO = /([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#"'<>\\]+@/gi;
/** `?api_key=…`, `password=…`. */
const ASSIGNED = new RegExp(`((?:^|[?&;,\\s"'])(?:[\\w.-]*(?:${WORDS})|key|sig|code)=)[^&;,\\s"'<>#\\\\]+`, 'gi');
const HEADER = /\b(Bearer|Basic)\s+[\w.~+/-]{8,}=*/gi;

const known = new Set<string>();
let knownForms: RegExp | undefined;

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');

/** Keeps these values out of all that {@link hideSecrets} sees from now on; short and well-known ones are left out. */
export function rememberSecrets(values: Iterable<string>): void {
  const before = known.size;
  for (const value of values) {
    if (value.length < SHORTEST || NO_SECRETS.has(value.toLowerCase())) continue;
    for (const form of [value, JSON.stringify(value).slice(1, -1), encoded(value)]) known.add(form);
  }
  if (known.size === before) return;
  const longestFirst = [...known].sort((a, b) => b.length - a.length);
  knownForms = new RegExp(longestFirst.map(escaped).join('|'), 'g');
}

function encoded(value: string): string {
  try {
    return encodeURIComponent(value);
  } catch {
    // A lone surrogate: such a value is in no URL.
    return value;
  }
}

/** Whether a text holds a value that is remembered as a credential. */
export const holdsSecret = (text: string): boolean => knownForms !== undefined && text.search(knownForms) >= 0;

/** Returns the text without credentials: those in URLs and headers, and those that are remembered. */
export function hideSecrets(text: string): string {
  let shown = knownForms === undefined ? text : text.replace(knownForms, REDACTED);
  if (shown.includes('://')) shown = shown.replace(USERINFO, `$1${REDACTED}@`);
  if (shown.includes('=')) shown = shown.replace(ASSIGNED, `$1${REDACTED}`);
  return shown.replace(HEADER, `$1 ${REDACTED}`);
}

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === '' ||
  typeof value === 'boolean' ||
  (Array.isArray(value) && value.length === 0);

const DEEPEST = 8;

/**
 * Returns the value with fields that hold credentials replaced, at any depth, and with its strings as {@link hideSecrets} gives them. Only plain objects
 * and lists are looked into.
 *
 * @param instead - what stands for a credential
 */
export function hideSecretFields(value: unknown, instead: string = REDACTED, depth = 0): unknown {
  if (typeof value === 'string') return hideSecrets(value);
  if (typeof value !== 'object' || value === null || depth > DEEPEST) return value;
  if (Array.isArray(value)) return value.map((item) => hideSecretFields(item, instead, depth + 1));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      isSecretName(name) && !isEmpty(item) && !(typeof item === 'number' && /s$/i.test(name))
        ? instead
        : hideSecretFields(item, instead, depth + 1),
    ]),
  );
}

/** A credential of a configuration, by its dotted path. */
export interface FoundSecret {
  readonly path: string;
  readonly value: string;
}

/** Fields of keys and logins that are no credentials themselves. */
const NO_CREDENTIAL = new Set(['name', 'scopes', 'username', 'id']);

/** Finds the credentials in a configuration: fields by their names, with all that is below them, and what URLs hold. */
export function secretsIn(value: unknown, path = '', isSecret = false): readonly FoundSecret[] {
  if (typeof value === 'string') {
    if (isSecret) return value === '' ? [] : [{ path, value }];
    return inUrl(value).map((found) => ({ path, value: found }));
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => {
    const isWholly = isSecretName(name) || (isSecret && !NO_CREDENTIAL.has(name));
    return secretsIn(item, path === '' ? name : `${path}.${name}`, isWholly);
  });
}

function inUrl(text: string): readonly string[] {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text) || !URL.canParse(text)) return [];
  const { username, password, searchParams } = new URL(text);
  const userinfo = password === '' ? username : password;
  const asked = [...searchParams].flatMap(([name, item]) =>
    isSecretName(name) || /^(?:key|sig|code)$/i.test(name) ? [item] : [],
  );
  return [...(userinfo === '' ? [] : [userinfo, decoded(userinfo)]), ...asked];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
