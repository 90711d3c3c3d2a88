import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelPackage } from './model_package.ts';
import type { NewModelVersion } from './model_registry.ts';
import { ONNX_FILE, PACKAGE_FILE, packageDocument, readPackage } from './package_files.ts';

const CARD_FILE = 'card.json';

/** What a trainer says of a model besides the model itself. */
type ModelCard = Pick<NewModelVersion, 'metrics' | 'params'>;

/**
 * A model as trainers and `headwater models export` write it: model.onnx, headwater.json, and card.json if there is one.
 *
 * @throws {@link ArtifactIntegrityError} when the ONNX bytes are not those that headwater.json was written for
 */
export async function readModelFolder(folder: string): Promise<ModelCard & { readonly package: ModelPackage }> {
  const [onnx, document, card] = await Promise.all([
    readFile(join(folder, ONNX_FILE)),
    readFile(join(folder, PACKAGE_FILE), 'utf8'),
    readFile(join(folder, CARD_FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }),
  ]);
  const { metrics, params } = card === undefined ? { metrics: {}, params: {} } : (JSON.parse(card) as ModelCard);
  return { package: readPackage(folder, new Uint8Array(onnx), document), metrics, params };
}

export async function writeModelFolder(folder: string, model: ModelPackage, card: ModelCard): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, ONNX_FILE), model.onnx);
  await writeFile(join(folder, PACKAGE_FILE), packageDocument(model));
  await writeFile(join(folder, CARD_FILE), `${JSON.stringify(card, null, 2)}\n`);
}
