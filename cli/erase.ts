import type { EntityKey } from '#feature_store/definitions/entity_key';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { VIEWS } from '#feature_store/views/catalog';
import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { entityKeysOf } from './entity_option.ts';
import { openOnline } from './open_parts.ts';
import { loadPlatformConfig } from './platform_config.ts';
import { print } from './print.ts';
import { UsageError } from './usage_error.ts';
import { withOffline } from './with_offline.ts';

export interface EraseOptions {
  /** Whose id it is. */
  readonly entity?: string;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

/** `headwater erase user:x9`, or `headwater erase x9 --entity user`: all that both stores know of an entity; a JSON line of how much that was. */
export async function eraseEntity(text: string, { entity, dryRun, yes }: EraseOptions): Promise<void> {
  if (!dryRun && !yes)
    throw new UsageError(`this cannot be undone: --yes erases ${text}, --dry-run says how much there is`);
  const keys = entityKeysOf(text, entity);
  const [key, offline] = await withOffline(async (store) => {
    const chosen = await chooseKey(store, text, keys);
    return [chosen, await store.eraseEntity(chosen, dryRun)] as const;
  });
  const onlineRows = dryRun ? undefined : await eraseOnline(key);
  print(
    JSON.stringify({ entity: key, erased: !dryRun, ...offline, ...(onlineRows === undefined ? {} : { onlineRows }) }),
  );
  if (!dryRun) {
    process.stderr.write(
      'events of it stay in the broker until its retention is over, and what the pipeline remembers of it until the longest window is; caches until their ttl\n',
    );
  }
}

/** The only one of which anything is known. @throws {@link UsageError} naming the entities */
async function chooseKey(store: OfflineStore, text: string, keys: readonly EntityKey[]): Promise<EntityKey> {
  const [first, ...others] = keys;
  if (first === undefined) throw new UsageError(`"${text}" is no id of any entity`);
  if (others.length === 0) return first;
  const known: EntityKey[] = [];
  for (const key of keys) {
    const counts = Object.values(await store.eraseEntity(key, true)) as number[];
    if (counts.some((rows) => rows > 0)) known.push(key);
  }
  const [only, ...more] = known;
  if (only !== undefined && more.length === 0) return only;
  throw new UsageError(
    only === undefined
      ? `history knows nothing of "${text}": name its entity, such as ${first}, to erase what is online`
      : `"${text}" is an id of several entities: erase ${known.join(' or ')}, or add --entity`,
  );
}

async function eraseOnline(key: EntityKey): Promise<number> {
  const config = loadPlatformConfig(process.env);
  const log = createLogger({ level: 'error' });
  const online = await openOnline(config, log, VIEWS);
  const services = await startAll([online], new AbortController().signal);
  try {
    return await online.erase(VIEWS, key);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
