import { assetPath } from '#kernel/project_root';
import { readModelFolder } from '#registry/model_folder';
import type { ModelRegistry, NewModelVersion } from '#registry/model_registry';
import type { Role } from '../terminal/choices.ts';

const FOLDER = 'registry/models/fraud_detector';

/** The fraud detector that comes with the platform: XGBoost, trained as its README says. */
export async function shippedFraudDetector(): Promise<NewModelVersion> {
  const description = 'XGBoost, shipped with headwater';
  return { name: 'fraud_detector', description, ...(await readModelFolder(assetPath(FOLDER))) };
}

/** Puts the shipped model into production in a registry that has none: so that a first start can answer. */
async function ensureFraudDetector(registry: ModelRegistry): Promise<void> {
  if ((await registry.listVersions('fraud_detector')).length > 0) return;
  const { version } = await registry.register(await shippedFraudDetector());
  await registry.transition('fraud_detector', version, 'Production', { by: 'headwater start', reason: 'first start' });
}

/** What `startPlatform` does first, where a local registry is to serve. */
export const ensureShippedModel =
  (roles: readonly Role[]) =>
  async ({ registry }: { readonly registry: ModelRegistry }): Promise<void> => {
    if (roles.includes('serving') && registry.kind === 'local') await ensureFraudDetector(registry);
  };
