import { createHash } from 'node:crypto';
import { DamagedFileError } from '#storage/errors';
import { parseJsonFile } from '#storage/json_file';
import { ArtifactIntegrityError } from '../errors.ts';
import type { ModelPackage, ModelSignature } from './model_package.ts';

/** `headwater.json`, beside `model.onnx`: what ONNX itself cannot say. */
interface PackageDocument {
  readonly format: 'headwater-model-1';
  readonly sha256: string;
  readonly signature: ModelSignature;
  readonly examples: ModelPackage['examples'];
}

export const ONNX_FILE = 'model.onnx';
export const PACKAGE_FILE = 'headwater.json';

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

export function packageDocument(model: ModelPackage): string {
  const document: PackageDocument = {
    format: 'headwater-model-1',
    sha256: sha256(model.onnx),
    signature: model.signature,
    examples: model.examples,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** @throws {@link ArtifactIntegrityError} when the ONNX bytes are not those the document was written for */
export function readPackage(where: string, onnx: Uint8Array, document: Uint8Array): ModelPackage {
  const parsed = parseDocument(`${where}/${PACKAGE_FILE}`, document);
  const found = sha256(onnx);
  if (found !== parsed.sha256) throw new ArtifactIntegrityError(`${where}/${ONNX_FILE}`, parsed.sha256, found);
  return { onnx, signature: upgraded(parsed.signature), examples: parsed.examples };
}

/** @throws {@link DamagedFileError} for what is no document of this form */
function parseDocument(file: string, bytes: Uint8Array): PackageDocument {
  const remedy = 'write or register the model again';
  const parsed = parseJsonFile(file, bytes, remedy) as Partial<PackageDocument> | null;
  if (typeof parsed?.sha256 === 'string' && typeof parsed.signature === 'object' && Array.isArray(parsed.examples)) {
    return parsed as PackageDocument;
  }
  throw new DamagedFileError(file, 0, 'it has no sha256, signature and examples', remedy);
}

/** Packages of 0.1 name a view. */
function upgraded(signature: ModelSignature & { readonly featureView?: string }): ModelSignature {
  const { featureView, ...rest } = signature;
  return featureView === undefined ? rest : { ...rest, featureService: { service: featureView } };
}
