import { VIEWS } from '#feature_store/views/catalog';
import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { openOnline } from './open_parts.ts';
import { loadPlatformConfig } from './platform_config.ts';
import { print } from './print.ts';
import { UsageError } from './usage_error.ts';
import { withOffline } from './with_offline.ts';

export interface EraseOptions {
  readonly dryRun: boolean;
  readonly yes: boolean;
}

/** `headwater erase ENTITY`: all that both stores know of an entity; a JSON line of how much that was. */
export async function eraseEntity(entity: string, { dryRun, yes }: EraseOptions): Promise<void> {
  if (!dryRun && !yes)
    throw new UsageError(`this cannot be undone: --yes erases ${entity}, --dry-run says how much there is`);
  const offline = await withOffline((store) => store.eraseEntity(entity, dryRun));
  const onlineRows = dryRun ? undefined : await eraseOnline(entity);
  print(JSON.stringify({ entity, erased: !dryRun, ...offline, ...(onlineRows === undefined ? {} : { onlineRows }) }));
  if (!dryRun) {
    process.stderr.write(
      'events of it stay in the broker until its retention is over, and what the pipeline remembers of it until the longest window is; caches until their ttl\n',
    );
  }
}

async function eraseOnline(entity: string): Promise<number> {
  const config = loadPlatformConfig(process.env);
  const log = createLogger({ level: 'error' });
  const online = await openOnline(config, log, VIEWS);
  const services = await startAll([online], new AbortController().signal);
  try {
    return await online.erase(VIEWS, entity);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
