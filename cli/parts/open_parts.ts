import { createBroker } from '#connectors/catalog';
import type { Broker } from '#connectors/connector';
import { createOfflineStore, createOnlineStore } from '#feature_store/config';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { VIEWS } from '#feature_store/views/catalog';
import { systemClock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { PlatformConfig } from '../project/platform_config.ts';
import { RunningPlatform } from './control_client.ts';

// The parts that a command needs: those of the platform that runs and has their folders, or parts of its own.

export async function openOffline(config: PlatformConfig, log: Logger): Promise<OfflineStore> {
  const running = await RunningPlatform.find(config, 'offline');
  return running?.offline() ?? createOfflineStore({ log, views: VIEWS }, config.offlineStore);
}

export async function openOnline(
  config: PlatformConfig,
  log: Logger,
  views: readonly FeatureView[],
): Promise<OnlineStore> {
  const running = await RunningPlatform.find(config, 'online');
  return running?.online() ?? createOnlineStore({ log, clock: systemClock, views }, config.onlineStore);
}

export async function openBroker(config: PlatformConfig, log: Logger): Promise<Broker> {
  const running = await RunningPlatform.find(config, 'broker');
  return running?.broker() ?? createBroker({ log, clock: systemClock }, config.broker);
}
