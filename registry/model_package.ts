import type { JsonObject } from '#kernel/json';

export type ColumnType = 'double' | 'long' | 'boolean' | 'string';

/** One named input of a model, in the order the tensor wants it. */
export interface InputColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** A required column that is missing or null is the caller's error; otherwise `missing` stands in. */
  readonly required: boolean;
  /** What the model sees for a missing value; NaN when absent (XGBoost's own missing value). */
  readonly missing?: number;
  /** For strings: category → number the model was trained on. Unknown categories become `unknownCategory`. */
  readonly categories?: Readonly<Record<string, number>>;
  readonly unknownCategory?: number;
}

/** The feature service that a model was trained on. */
export interface FeatureServiceReference {
  /** A service's id or a view's: `fraud@1`. */
  readonly service: string;
  /** Of its definitions then; a model is not served with others. Absent: not known. */
  readonly fingerprint?: string;
}

/** What a model expects and answers; stored beside the ONNX file, independent of the trainer. */
export interface ModelSignature {
  readonly inputs: readonly InputColumn[];
  readonly task: 'binary_classification' | 'multiclass_classification' | 'regression';
  /** Class names in probability order; empty for regression. */
  readonly classes: readonly string[];
  /** Binary classification: probability of `classes[1]` at and above which it is the prediction. */
  readonly threshold?: number;
  /** ONNX names: the [N, inputs.length] FP32 input and the [N, classes] FP32 probabilities (or [N] values). */
  readonly onnx: { readonly input: string; readonly output: string };
  /** Where the columns come from, so that serving by entity knows what to read. */
  readonly featureService?: FeatureServiceReference;
}

/** Everything a serving process needs of one model version. */
export interface ModelPackage {
  readonly onnx: Uint8Array;
  readonly signature: ModelSignature;
  /** Example instances (feature maps) for warm-up, with the probabilities or values the trainer saw: golden rows. */
  readonly examples: readonly { readonly features: JsonObject; readonly output: readonly number[] }[];
}
