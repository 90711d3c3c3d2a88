import { createHash } from 'node:crypto';
import { ArtifactIntegrityError, IncompleteModelError, InvalidModelError } from '../errors.ts';
import { checkInnerPath } from '../folder_files.ts';
import { rewriteTensors, type WireTensor, withValues } from './rewrite_tensors.ts';

/** The largest file that protobuf takes. */
const MOST_BYTES = 2 ** 31 - 1;
const WHOLE = /^(?:0|[1-9]\d{0,14})$/;

/**
 * Returns the model with all its values in the one file. ONNX may keep tensors in files beside it (mlflow.onnx does, of 1 kB and more). Those are
 * read from the model's own folder, before onnxruntime sees the model: it would look for them in the working directory.
 *
 * @param read - reads a file of the model's folder, by its path there; undefined when there is none
 * @throws {@link InvalidModelError} naming each tensor whose file is outside the folder, missing or too short
 */
export async function withExternalData(
  onnx: Uint8Array,
  read: (path: string) => Promise<Uint8Array | undefined>,
): Promise<Uint8Array> {
  const found: WireTensor[] = [];
  rewriteTensors(onnx, (tensor, bytes) => {
    if (tensor.isExternal) found.push(tensor);
    return bytes;
  });
  if (found.length === 0) return onnx;
  // All paths before any file.
  const paths = new Set(found.map((tensor) => checkInnerPath(tensor.external.location ?? '', dataOf(tensor))));
  const files = new Map<string, Uint8Array>();
  for (const path of paths) {
    const content = await read(path);
    if (content === undefined)
      throw new IncompleteModelError(`it keeps values in ${path}, and there is no such file beside it`);
    for (const { external } of found) if (external.location === path) checkSum(path, content, external.checksum);
    files.set(path, content);
  }
  let bytes = onnx.length;
  return rewriteTensors(onnx, (tensor, message) => {
    if (!tensor.isExternal) return message;
    const values = valuesOf(tensor, files.get(tensor.external.location as string) as Uint8Array);
    bytes += values.length;
    if (bytes > MOST_BYTES) throw new InvalidModelError([`with its values it has more than ${MOST_BYTES} bytes`]);
    return withValues(message, values);
  });
}

/** @throws {@link InvalidModelError} when the model keeps values outside of its file, or is no ONNX */
export function refuseExternalData(onnx: Uint8Array): void {
  const problems: string[] = [];
  rewriteTensors(onnx, (tensor, bytes) => {
    if (tensor.isExternal && problems.length < MOST_PROBLEMS) {
      problems.push(
        `${dataOf(tensor)} is at ${JSON.stringify(tensor.external.location ?? '').slice(0, 200)}, not in its file: register the model with its folder`,
      );
    }
    return bytes;
  });
  if (problems.length > 0) throw new InvalidModelError(problems);
}

/** @param expected - SHA-1 of the whole file, as the model has it; where it has none, nothing is checked */
function checkSum(path: string, content: Uint8Array, expected: string | undefined): void {
  if (expected === undefined || expected === '') return;
  const found = createHash('sha1').update(content).digest('hex');
  if (found !== expected.toLowerCase()) throw new ArtifactIntegrityError(path, expected, found, 'SHA-1');
}

const MOST_PROBLEMS = 5;
const dataOf = ({ name }: WireTensor): string => `the value of its tensor "${name.slice(0, 100)}"`;

function valuesOf(tensor: WireTensor, file: Uint8Array): Uint8Array {
  const { location, offset = '0', length } = tensor.external;
  const from = WHOLE.test(offset) ? Number(offset) : Number.NaN;
  const size = length === undefined ? file.length - from : WHOLE.test(length) ? Number(length) : Number.NaN;
  if (from + size <= file.length && size >= 0) return file.subarray(from, from + size);
  throw new IncompleteModelError(
    `${dataOf(tensor)} is at ${length ?? 'all'} bytes from ${offset} of ${location}, which has ${file.length} bytes`,
  );
}
