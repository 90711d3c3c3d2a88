import type { JsonObject } from '#kernel/json';
import { InvalidModelError } from '#registry/errors';
import { fromOrt, type TensorClass, toOrt } from '#registry/graphs/ort_tensors';
import { type ModelPackage, type ModelSignature, outputWidth, type RowValues } from '#registry/packages/model_package';
import { createEncoder, type SignatureEncoder, TextNumbers } from '#registry/packages/signature_encoder';
import { decidingOutputs, decisionOf } from '#registry/rows/decision';
import { feedsOf } from '#registry/rows/row_feeds';
import { checkGoldenRows } from '../models/golden_rows.ts';
import type { Predicted } from '../models/interpret.ts';
import { predictRows, type RowModel } from './predict_rows.ts';

// Imports nothing of Node: it runs in pages and workers.

/** A build of onnxruntime for JavaScript, such as onnxruntime-web. */
export interface OnnxRuntime {
  readonly InferenceSession: {
    create(onnx: Uint8Array, options?: Readonly<Record<string, unknown>>): Promise<OnnxSession>;
  };
  readonly Tensor: unknown;
}

interface OnnxSession {
  readonly inputMetadata: readonly { readonly shape?: readonly (number | string)[] }[];
  readonly outputMetadata: readonly { readonly name: string; readonly type?: string }[];
  run(feeds: never, outputs: readonly string[]): Promise<Readonly<Record<string, unknown>>>;
  release(): Promise<void>;
}

/** The files of a bundle's folder `model`. */
export interface ModelFiles {
  /** model.onnx */
  readonly onnx: Uint8Array;
  /** headwater.json: text, or what it holds. */
  readonly document: string | object;
}

interface PackageDocument {
  readonly sha256: string;
  readonly signature: ModelSignature;
  readonly examples: ModelPackage['examples'];
}

/** A size that may be any and has no name, as WebAssembly gives it: -1 without a sign. */
const OPEN_SIZE = 2 ** 32 - 1;

/** A model in a runtime without Node: the rows of serving, computed by a build of onnxruntime that the caller brings. */
export class PortableModel implements RowModel {
  readonly signature: ModelSignature;
  readonly encoder: SignatureEncoder;
  readonly outputWidth: number;
  readonly labels: TextNumbers | undefined;
  readonly #session: OnnxSession;
  readonly #tensorClass: TensorClass;
  /** Rows in each run, where the graph fixes them. */
  readonly #rowsARun: number | undefined;

  private constructor(signature: ModelSignature, session: OnnxSession, tensorClass: TensorClass) {
    // Of the session, not of the file: readers of protobuf make code, which pages and workers may forbid.
    const { inputMetadata, outputMetadata } = session;
    const isText = outputMetadata.some(({ name, type }) => name === signature.onnx.label && type === 'string');
    const rows = inputMetadata[0]?.shape?.[0];
    this.signature = signature;
    this.encoder = createEncoder(signature);
    this.outputWidth = outputWidth(signature);
    this.labels = isText ? new TextNumbers() : undefined;
    this.#rowsARun = typeof rows === 'number' && rows >= 0 && rows < OPEN_SIZE ? rows : undefined;
    this.#session = session;
    this.#tensorClass = tensorClass;
  }

  /**
   * Opens the model of a bundle: compares its hash, where the runtime has `crypto.subtle` (pages have it over HTTPS), and replays its golden rows.
   *
   * @throws {@link InvalidModelError} where the file is another, it takes no rows, or its golden rows come out differently
   */
  static async open({ onnx, document }: ModelFiles, runtime: OnnxRuntime): Promise<PortableModel> {
    const { sha256, signature, examples } = (
      typeof document === 'string' ? JSON.parse(document) : document
    ) as PackageDocument;
    const found = await hashOf(onnx);
    if (found !== undefined && found !== sha256) {
      throw new InvalidModelError([`model.onnx has SHA-256 ${found}; headwater.json was written for ${sha256}`]);
    }
    const session = await runtime.InferenceSession.create(onnx, { executionProviders: ['wasm'] });
    const model = new PortableModel(signature, session, runtime.Tensor as TensorClass);
    try {
      if (signature.task === 'tensors' || (model.#rowsARun ?? 1) !== 1) {
        throw new InvalidModelError(['it takes tensors, no rows of columns; bundles predict rows']);
      }
      if (examples.length > 0) await checkGoldenRows(model, examples);
    } catch (error) {
      await model.close();
      throw error;
    }
    return model;
  }

  /** Predicts rows, as objects by column. @throws InvalidFeaturesError that names every bad field of every row */
  predict(rows: readonly JsonObject[]): Promise<readonly Predicted[]> {
    return predictRows(this, rows);
  }

  /** Computes encoded rows: [rows, outputWidth], row-major. */
  async run(input: RowValues, rows: number): Promise<RowValues> {
    if (this.#rowsARun === undefined || rows === 1) return this.#runOnce(input, rows);
    const all = new Float64Array(rows * this.outputWidth);
    const { width } = this.encoder;
    for (let row = 0; row < rows; row += 1) {
      all.set(await this.#runOnce(input.slice(row * width, (row + 1) * width), 1), row * this.outputWidth);
    }
    return all;
  }

  async #runOnce(input: RowValues, rows: number): Promise<RowValues> {
    const { signature, encoder, labels } = this;
    const feeds = toOrt(feedsOf(signature, encoder, input, rows), this.#tensorClass);
    const results = fromOrt(await this.#session.run(feeds as never, decidingOutputs(signature)));
    return decisionOf(signature, results, rows, labels);
  }

  close(): Promise<void> {
    return this.#session.release();
  }
}

/** Returns the SHA-256 in hexadecimal digits; undefined where the runtime has none. */
async function hashOf(bytes: Uint8Array): Promise<string | undefined> {
  const { subtle } = globalThis.crypto ?? {};
  if (subtle === undefined) return undefined;
  const hash = new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
