import type { Limit } from '#connectors/http/config';
import { Grants } from '#connectors/http/grants';
import { changeKey, createKey, readKeysFile, revokeKey, rotateKey, type StoredKey } from '#connectors/http/keys_file';
import { SCOPES, scopeSchema } from '#connectors/http/scopes';
import { systemClock } from '#kernel/time';
import { tryParseDuration } from '#kernel/times/duration';
import { loadSettings } from '../project/project.ts';
import { print, printList } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';

interface FileOption {
  readonly file?: string;
}

interface ShownOption extends FileOption {
  readonly json: boolean;
}

const fileOf = ({ file }: FileOption): string => file ?? (loadSettings().gateway.keysFile as string);

/** `headwater keys create NAME --scope …`: prints the key, which is shown this once. */
export async function create(
  name: string,
  options: ShownOption & { readonly scope: readonly string[]; readonly quota?: string; readonly expires?: string },
): Promise<void> {
  const file = fileOf(options);
  const nowMs = systemClock.now();
  const expiresAtMs = options.expires === undefined ? undefined : nowMs + lengthOf('--expires', options.expires);
  const scopes = checkedScopes(options.scope);
  const { key, stored } = await createKey(file, { name, scopes, quota: quotaOf(options.quota), expiresAtMs }, nowMs);
  tellKey(key, stored, file, options.json);
}

/** `headwater keys list`: every key without the key itself. */
export async function list(options: ShownOption): Promise<void> {
  const keys = await readKeysFile(fileOf(options));
  const nowMs = systemClock.now();
  const rows = keys.map((stored) => ({ ...shown(stored), state: stateOf(stored, nowMs) }));
  printList(rows, {
    ...{ json: options.json, empty: 'there are no keys: headwater keys create' },
    line: ({ id, name, scopes, quota, state }) => {
      const limit = quota === undefined ? '' : `  ${quota.requests} requests in ${quota.windowMs} ms`;
      return `${id}  ${state.padEnd(8)}  ${name.padEnd(20)}  ${scopes.join(' ')}${limit}`;
    },
  });
}

/** `headwater keys rotate KEY`: a new key in place of the old one, which stays valid for the overlap. */
export async function rotate(idOrName: string, options: ShownOption & { readonly overlap: string }): Promise<void> {
  const file = fileOf(options);
  const overlapMs = lengthOf('--overlap', options.overlap);
  const { key, stored } = await rotateKey(file, idOrName, overlapMs, systemClock.now());
  tellKey(key, stored, file, options.json);
}

/** `headwater keys revoke KEY`. */
export async function revoke(idOrName: string, options: FileOption): Promise<void> {
  const { id, name } = await revokeKey(fileOf(options), idOrName, systemClock.now());
  process.stderr.write(`key ${name} (${id}) is revoked: listeners refuse it within a second\n`);
}

/** `headwater keys change KEY`: scopes and quota of a key that stays as it is. */
export async function change(
  idOrName: string,
  options: FileOption & { readonly scope?: readonly string[]; readonly quota?: string },
): Promise<void> {
  const { scope, quota } = options;
  if (scope === undefined && quota === undefined) throw new UsageError('nothing to change: give --scope or --quota');
  const changed = await changeKey(fileOf(options), idOrName, {
    ...(scope === undefined ? {} : { scopes: checkedScopes(scope) }),
    ...(quota === undefined ? {} : { quota: quota === 'none' ? null : (quotaOf(quota) ?? null) }),
  });
  print(JSON.stringify(shown(changed)));
}

/** `headwater keys scopes`: what scopes there are. */
export function listScopes({ json }: { readonly json: boolean }): void {
  const rows = Object.entries(SCOPES).map(([scope, { resource, allows }]) => ({ scope, resource, allows }));
  printList(rows, {
    ...{ json, empty: 'no scopes' },
    line: ({ scope, resource, allows }) =>
      `${(resource === undefined ? scope : `${scope}:…`).padEnd(12)}  ${(resource ?? '').padEnd(20)}  ${allows}`,
  });
}

function tellKey(key: string, stored: StoredKey, file: string, json: boolean): void {
  if (json) print(JSON.stringify({ key, ...shown(stored) }));
  else print(key);
  process.stderr.write(`key ${stored.name} (${stored.id}), hashed in ${file}; it is not shown again\n`);
}

const shown = ({ sha256: _, previous, ...rest }: StoredKey) => ({
  ...rest,
  ...(previous.length === 0 ? {} : { previousValidUntil: previous.map(({ validUntil }) => validUntil) }),
});

function stateOf({ revokedAt, expiresAt }: StoredKey, nowMs: number): 'valid' | 'revoked' | 'expired' {
  if (revokedAt !== undefined) return 'revoked';
  return expiresAt !== undefined && Date.parse(expiresAt) <= nowMs ? 'expired' : 'valid';
}

function checkedScopes(scopes: readonly string[]): string[] {
  for (const scope of scopes) {
    const { error } = scopeSchema.safeParse(scope);
    if (error !== undefined) throw new UsageError(error.issues[0]?.message ?? scope);
  }
  if (new Grants(scopes).covers('admin')) return ['admin'];
  return [...new Set(scopes)];
}

/** `100/1s`: requests, and the window. */
function quotaOf(text: string | undefined): Limit | undefined {
  if (text === undefined) return undefined;
  const [, requests, window = '1s'] = /^([1-9]\d{0,8})(?:\/(\S+))?$/.exec(text) ?? [];
  const windowMs = tryParseDuration(window);
  if (requests === undefined || windowMs === undefined || !Number.isInteger(windowMs) || windowMs < 1) {
    throw new UsageError(`--quota ${text} is no quota: write requests/window, such as 100/1s or 5000/1m`);
  }
  return { requests: Number(requests), windowMs };
}

function lengthOf(option: string, text: string): number {
  const millis = tryParseDuration(text);
  if (millis === undefined) throw new UsageError(`${option} ${text} is no duration: write 90d, 24h or 30m`);
  return millis;
}
