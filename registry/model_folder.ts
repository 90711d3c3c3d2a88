import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '#kernel/errors';
import { makeFolder, replaceFile } from '#storage/durable_files';
import { parseJsonFile } from '#storage/json_file';
import { InvalidModelError } from './errors.ts';
import { readIfInside, readInside } from './folder_files.ts';
import type { NewModelVersion, Trial } from './model_registry.ts';
import { withExternalData } from './onnx/external_data.ts';
import type { ModelPackage } from './packages/model_package.ts';
import { ONNX_FILE, PACKAGE_FILE, packageDocument, readPackage } from './packages/package_files.ts';

const CARD_FILE = 'card.json';
const TRIALS_FILE = 'trials.json';
export const REPORT_FILE = 'report.html';
/** What goes with a version, if it is there. */
export const ATTACHMENTS: readonly string[] = [REPORT_FILE, 'statistics.json', 'manifest.json', TRIALS_FILE];

/** What a trainer says of a model besides the model itself. */
export type ModelCard = Pick<NewModelVersion, 'metrics' | 'params' | 'tags'>;

/** A model as a folder holds it: graph, signature and card. */
export interface ModelFolder extends ModelCard {
  readonly package: ModelPackage;
  /** Of the search for its parameters. */
  readonly trials: readonly Trial[];
  /** By file name. */
  readonly attachments: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads a model as trainers and `headwater models export` write it: model.onnx, headwater.json; and, if they are there, card.json, trials.json, a
 * report, statistics of what it was trained on.
 *
 * @throws {@link InvalidModelError} when there is no such folder; {@link ArtifactIntegrityError} when the ONNX bytes are not those that headwater.json was written for
 */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  const files = new Set(
    await readdir(folder).catch((error: unknown): never => {
      throw new InvalidModelError([`its folder ${folder} cannot be read: ${messageOf(error)}`], error);
    }),
  );
  const [onnx, document] = await Promise.all([readInside(folder, ONNX_FILE), readInside(folder, PACKAGE_FILE)]);
  const readIfThere = async <T>(name: string, otherwise: T): Promise<T> =>
    files.has(name)
      ? (parseJsonFile(join(folder, name), await readInside(folder, name), 'train the model again') as T)
      : otherwise;
  const card = await readIfThere<ModelCard>(CARD_FILE, { metrics: {}, params: {} });
  const attachments = new Map<string, Uint8Array>();
  for (const name of ATTACHMENTS) if (files.has(name)) attachments.set(name, await readInside(folder, name));
  const read = readPackage(folder, new Uint8Array(onnx), document);
  return {
    ...card,
    package: { ...read, onnx: await withExternalData(read.onnx, (path) => readIfInside(folder, path)) },
    trials: await readIfThere<readonly Trial[]>(TRIALS_FILE, []),
    attachments,
  };
}

/** Writes a model as trainers do: model.onnx, headwater.json and card.json. */
export async function writeModelFolder(
  folder: string,
  model: ModelPackage,
  { card, attachments = new Map() }: { readonly card: ModelCard; readonly attachments?: ModelFolder['attachments'] },
): Promise<void> {
  await makeFolder(folder);
  await replaceFile(join(folder, ONNX_FILE), model.onnx);
  await replaceFile(join(folder, PACKAGE_FILE), packageDocument(model));
  await writeModelCard(folder, card);
  for (const [name, content] of attachments) await replaceFile(join(folder, name), content);
}

/** Writes headwater.json of a folder anew: the signature and examples, for the ONNX file that it has. */
export const writeSignature = (folder: string, model: ModelPackage): Promise<void> =>
  replaceFile(join(folder, PACKAGE_FILE), packageDocument(model));

export const writeModelCard = (folder: string, card: ModelCard): Promise<void> =>
  replaceFile(join(folder, CARD_FILE), `${JSON.stringify(card, null, 2)}\n`);
