import { z } from 'zod';
import type { Producer } from '#connectors/connector';
import type { SinkReplay } from '#connectors/dead_letters';
import { createOfflineStore, createOnlineStore } from '#feature_store/config';
import { rowJson } from '#feature_store/definitions/encode_row';
import type { FeatureRow } from '#feature_store/definitions/feature_row';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { VIEWS } from '#feature_store/views/catalog';
import { type Service, startAll } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { PlatformConfig } from './platform_config.ts';
import { UnusableRowError } from './unusable_row_error.ts';

const rowSchema = z.object({
  view: z.string(),
  version: z.int(),
  entityKey: z.string(),
  eventTime: z.number(),
  computedAt: z.number(),
  values: z.record(z.string(), z.union([z.number(), z.string(), z.boolean(), z.null()])),
});

export interface ReplayTargets {
  /** Opens a store when a letter needs it. Undefined: its letters cannot be replayed here. */
  readonly online: (() => Promise<OnlineStore>) | undefined;
  readonly offline: () => Promise<OfflineStore>;
  readonly producer: Producer;
  readonly featureEventsTopic: string;
}

/** The platform's own sinks, which take the rows that they have refused: writing a row again changes nothing else. */
export function replaySinks({
  online,
  offline,
  producer,
  featureEventsTopic,
}: ReplayTargets): ReadonlyMap<string, SinkReplay> {
  const sinks = new Map<string, SinkReplay>([
    ['sink.offline_store', async (payload) => void (await (await offline()).write([parseRow(payload)]))],
    [
      'sink.feature_events',
      async (payload) => {
        const row = parseRow(payload);
        await producer.send(featureEventsTopic, [{ key: row.entityKey, value: rowJson(row) }]);
      },
    ],
  ]);
  if (online !== undefined) {
    sinks.set('sink.online_store', async (payload) => void (await (await online()).write([parseRow(payload)])));
  }
  return sinks;
}

/** The stores of a configuration, each started when it is first needed. */
export class LazyStores {
  readonly #config: Pick<PlatformConfig, 'onlineStore' | 'offlineStore'>;
  readonly #log = createLogger({ level: 'error' });
  readonly #open: AsyncDisposable[] = [];
  #online: Promise<OnlineStore> | undefined;
  #offline: Promise<OfflineStore> | undefined;

  constructor(config: Pick<PlatformConfig, 'onlineStore' | 'offlineStore'>) {
    this.#config = config;
  }

  readonly online = (): Promise<OnlineStore> => {
    const deps = {
      log: this.#log,
      clock: systemClock,
      metrics: createMetricsRegistry({ process: false }),
      views: VIEWS,
    };
    this.#online ??= this.#started(createOnlineStore(deps, this.#config.onlineStore));
    return this.#online;
  };

  readonly offline = (): Promise<OfflineStore> => {
    this.#offline ??= this.#started(createOfflineStore({ log: this.#log, views: VIEWS }, this.#config.offlineStore));
    return this.#offline;
  };

  async #started<T extends Service>(store: T): Promise<T> {
    this.#open.push(await startAll([store], new AbortController().signal));
    return store;
  }

  async close(): Promise<void> {
    for (const one of this.#open.splice(0)) await one[Symbol.asyncDispose]();
  }
}

/** @throws {@link UnusableRowError} */
function parseRow(payload: string): FeatureRow {
  let body: unknown;
  try {
    body = JSON.parse(payload);
  } catch (error) {
    throw new UnusableRowError('it is not JSON', error);
  }
  const parsed = rowSchema.safeParse(body);
  if (!parsed.success) throw new UnusableRowError(z.prettifyError(parsed.error));
  return parsed.data as FeatureRow;
}
