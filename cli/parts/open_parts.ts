import { createBroker } from '#connectors/catalog';
import type { Broker } from '#connectors/connector';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { OnlineStore } from '#feature_store/online/online_store';
import { systemClock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { extensionsFor, type Project } from '../project/project.ts';
import { RunningPlatform } from './control_client.ts';
import type { OfflineDatabase } from './offline_database.ts';

// The parts that a command needs: those of the platform that runs and has their folders, or parts of its own, whose clients are loaded then alone.

export async function openOffline(config: Project, log: Logger): Promise<OfflineDatabase> {
  const running = await RunningPlatform.find(config, 'offline');
  if (running !== undefined) return running.offline();
  const { createOfflineDatabase } = await import('./offline_database.ts');
  return createOfflineDatabase(
    { log, views: config.catalog.views },
    config.offlineStore,
    config.extensions.offlineStores,
  );
}

export async function openOnline(
  config: PlatformConfig,
  log: Logger,
  views: readonly FeatureView[],
): Promise<OnlineStore> {
  const running = await RunningPlatform.find(config, 'online');
  if (running !== undefined) return running.online();
  const [{ onlineStores }, { createOnlineStore }] = await Promise.all([
    extensionsFor(config),
    import('#feature_store/stores'),
  ]);
  return createOnlineStore({ log, clock: systemClock, views }, config.onlineStore, onlineStores);
}

export async function openBroker(config: PlatformConfig, log: Logger): Promise<Broker> {
  const running = await RunningPlatform.find(config, 'broker');
  if (running !== undefined) return running.broker();
  const { connectors } = await extensionsFor(config);
  return createBroker({ log, clock: systemClock }, config.broker, connectors);
}
