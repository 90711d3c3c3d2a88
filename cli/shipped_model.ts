import { readFile } from 'node:fs/promises';
import { assetPath } from '#kernel/project_root';
import type { ModelRegistry, NewModelVersion } from '#registry/model_registry';
import { readPackage } from '#registry/package_files';

const FOLDER = 'registry/models/fraud_detector';

interface ModelCard {
  readonly metrics: Readonly<Record<string, number>>;
  readonly params: Readonly<Record<string, string>>;
}

/** The fraud detector that comes with the platform: XGBoost, trained as its README says. */
export async function shippedFraudDetector(): Promise<NewModelVersion> {
  const folder = assetPath(FOLDER);
  const [onnx, document, card] = await Promise.all([
    readFile(`${folder}/model.onnx`),
    readFile(`${folder}/headwater.json`, 'utf8'),
    readFile(`${folder}/card.json`, 'utf8'),
  ]);
  const { metrics, params } = JSON.parse(card) as ModelCard;
  return {
    name: 'fraud_detector',
    package: readPackage(folder, new Uint8Array(onnx), document),
    metrics,
    params,
    description: 'XGBoost, shipped with headwater',
  };
}

/** Puts the shipped model into production in a registry that has none: so that a first start can answer. */
export async function ensureFraudDetector(registry: ModelRegistry): Promise<void> {
  if ((await registry.listVersions('fraud_detector')).length > 0) return;
  const { version } = await registry.register(await shippedFraudDetector());
  await registry.transition('fraud_detector', version, 'Production', { by: 'headwater start', reason: 'first start' });
}
