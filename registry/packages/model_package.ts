import type { JsonObject } from '#kernel/json';
import type { OnnxElement } from '../onnx/onnx_proto.ts';

/** The type of a column in a model's signature. */
export type ColumnType = 'double' | 'long' | 'boolean' | 'string';

/** One named input of a model, in the order of the tensor. */
export interface InputColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** A required column that is missing or null is the caller's error; otherwise `missing` stands in. */
  readonly required: boolean;
  /** A required column may be null all the same, as a data frame has NaN in it: it must be named. */
  readonly nullable?: boolean;
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
  /** What the fingerprint is of, so that a difference can be named. Absent in models of releases before 0.2, whose fingerprints are of descriptions alone. */
  readonly definitions?: object;
}

/**
 * What the output is: probabilities [N, classes]; a value [N]; distances to the clusters' centres [N, classes]; a score of how unusual a
 * row is [N], between 0 and 1. Of models whose files do not say: `values` [N, classes], which are the output as it is, and `tensors` for
 * a graph that does not take rows of columns.
 */
export type Task =
  | 'binary_classification'
  | 'multiclass_classification'
  | 'regression'
  | 'clustering'
  | 'anomaly_detection'
  | 'values'
  | 'tensors';

/** A tensor that a graph takes: [rows, columns], of the signature's columns in their order. */
export interface OnnxInput {
  readonly name: string;
  readonly element: OnnxElement;
  readonly columns: number;
  /** [rows], of one column. */
  readonly isFlat?: boolean;
}

/** Rows on their way to a model and out of it: FP64 where FP32 does not hold what the graph takes or gives. */
export type RowValues = Float32Array | Float64Array;

/** A parameter that requests to a model may have, as its MLflow signature names it. */
export interface ModelParam {
  readonly name: string;
  readonly type: 'boolean' | 'integer' | 'long' | 'float' | 'double' | 'string' | 'datetime' | 'object';
  readonly isList: boolean;
}

/** What a model expects and answers; stored beside the ONNX file, independent of the trainer. */
export interface ModelSignature {
  readonly inputs: readonly InputColumn[];
  readonly task: Task;
  /** Names in the order of the output's columns; for anomaly detection what is below the threshold and what is not; empty for regression. */
  readonly classes: readonly string[];
  /** Probability of `classes[1]`, or anomaly score, at and above which it is the prediction. */
  readonly threshold?: number;
  /** ONNX names: the [N, inputs.length] FP32 input, or several inputs that share the columns, and the output, as the task says. */
  readonly onnx: {
    readonly input: string;
    readonly inputs?: readonly OnnxInput[];
    readonly output: string;
    /** An output [N] that is the prediction itself: a class or cluster. A row then has it behind its other values. */
    readonly label?: string;
  };
  readonly params?: readonly ModelParam[];
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

/** Probability at and above which the second of two classes is the prediction, where a signature says nothing else. */
export const DEFAULT_THRESHOLD = 0.5;

/** Values of a row that the scoring output has: probabilities, a value, distances. */
export const scoreWidth = ({ task, classes }: Pick<ModelSignature, 'task' | 'classes'>): number =>
  task === 'regression' || task === 'anomaly_detection' ? 1 : classes.length;

/** Values a row has in the output, with its label where there is one. */
export const outputWidth = (signature: ModelSignature): number =>
  scoreWidth(signature) + (signature.onnx.label === undefined ? 0 : 1);
