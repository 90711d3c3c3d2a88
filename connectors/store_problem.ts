/** What keeps a store, broker or disk from its work, for health and `dependency_problem{problem}`. */
export type StoreProblem = 'unreachable' | 'read_only' | 'full' | 'out_of_memory' | 'refused';

/** Codes of Node's file system and of PostgreSQL (SQLSTATE), and how Redis begins an error. */
const BY_CODE: Readonly<Record<string, StoreProblem>> = {
  EROFS: 'read_only',
  EACCES: 'read_only',
  EPERM: 'read_only',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EMFILE: 'out_of_memory',
  ENFILE: 'out_of_memory',
  ENOMEM: 'out_of_memory',
  // read_only_sql_transaction
  '25006': 'read_only',
  // disk_full
  '53100': 'full',
  // out_of_memory, too_many_connections
  '53200': 'out_of_memory',
  '53300': 'out_of_memory',
};
const BY_MESSAGE: readonly (readonly [RegExp, StoreProblem])[] = [
  [/\bREADONLY\b/, 'read_only'],
  [/\bOOM command not allowed\b/, 'out_of_memory'],
  // Redis cannot write its snapshot or its append-only file, and takes no writes until it can.
  [/\bMISCONF\b/, 'full'],
  [/\b(NOREPLICAS|MASTERDOWN|LOADING|CLUSTERDOWN)\b/, 'unreachable'],
  [/\b(NOAUTH|WRONGPASS|NOPERM)\b/, 'refused'],
];
/** Of PostgreSQL: authorization, privileges, what is missing in the database. */
const REFUSED = /^(28|3D|3F|42)/;

/** Returns the problem that an error of a store or one of its causes names; `unreachable` when they name none. */
export function storeProblemOf(error: unknown): StoreProblem {
  for (let cause = error; cause instanceof Error || isErrorLike(cause); cause = (cause as Error).cause) {
    const { code, message } = cause as { readonly code?: unknown; readonly message: string };
    if (typeof code === 'string') {
      const problem = BY_CODE[code];
      if (problem !== undefined) return problem;
      if (/^[0-9A-Z]{5}$/.test(code) && REFUSED.test(code)) return 'refused';
    }
    const found = BY_MESSAGE.find(([pattern]) => pattern.test(message));
    if (found !== undefined) return found[1];
  }
  return 'unreachable';
}

/** Errors of other realms are no instances of this one's. */
const isErrorLike = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as { message?: unknown }).message === 'string';
