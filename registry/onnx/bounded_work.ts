import { ModelProto } from './onnx_proto.ts';

interface WireAttribute {
  readonly g?: WireGraph;
  readonly graphs?: readonly WireGraph[];
}

interface WireNode {
  readonly opType?: string;
  readonly domain?: string;
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  readonly attribute?: readonly WireAttribute[];
}

interface WireGraph {
  readonly node?: readonly WireNode[];
  readonly initializer?: readonly { readonly name?: string }[];
  readonly input?: readonly { readonly name?: string }[];
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/).filter((word) => word !== ''));

/** Operators of ONNX whose work is bounded by the sizes of what goes in and by their attributes. */
const PLAIN = words(`
  Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
  Cast CastLike Ceil Celu Clip Compress Concat Constant Conv ConvInteger Cos Cosh CumSum DepthToSpace DequantizeLinear Det Div Dropout
  DynamicQuantizeLinear Einsum Elu Equal Erf Exp EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool
  Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization
  LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg
  NonZero Not Or PRelu Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
  ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape ReverseSequence Round Scatter ScatterElements ScatterND Selu Shape
  Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze StringNormalizer Sub Sum Swish Tan Tanh
  TfIdfVectorizer ThresholdedRelu TopK Transpose Trilu Unique Unsqueeze Where Xor`);

/** Of ONNX-ML. */
const CLASSIC = words(`
  ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor
  Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor ZipMap`);

/** Of onnxruntime, as its optimizers and quantizers write them. */
const OPTIMIZED = words(`
  BiasGelu DynamicQuantizeMatMul FastGelu FusedConv FusedGemm FusedMatMul Gelu MatMulInteger16 MatMulIntegerToFloat MatMulNBits QGemm QLinearAdd
  QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QuickGelu
  SkipLayerNormalization SimplifiedLayerNormalization`);

/** Operators that make something as large as a value says, by the first input that says it. */
const SIZED: Readonly<Record<string, number>> = {
  ConstantOfShape: 0,
  Expand: 1,
  OneHot: 1,
  Pad: 1,
  Range: 0,
  Resize: 1,
  Tile: 1,
  Upsample: 1,
};

/** Operators whose outputs come from sizes alone. */
const OF_SIZES = words('Shape Size');

/**
 * Tells whether a row more or less is all that changes what the graph computes: no loops, no sizes that come from the values of a request, no operators
 * that are not known here. One run that has ended then stands for all others.
 */
export function hasBoundedWork(onnx: Uint8Array): boolean {
  const { graph, functions = [] } = ModelProto.toObject(ModelProto.decode(onnx), { longs: Number }) as {
    readonly graph?: WireGraph;
    readonly functions?: readonly unknown[];
  };
  return graph !== undefined && functions.length === 0 && isBounded(graph, new Set());
}

/** @param outer - names of the graphs around it that depend on values of a request */
function isBounded(graph: WireGraph, outer: ReadonlySet<string>): boolean {
  const { node: nodes = [], initializer = [], input = [] } = graph;
  const given = new Set(initializer.map(({ name = '' }) => name));
  const ofRequest = new Set([...outer].filter((name) => !given.has(name)));
  for (const { name = '' } of input) if (!given.has(name)) ofRequest.add(name);
  // Again until nothing changes: nodes may come in any order.
  for (let before = -1; before !== ofRequest.size; ) {
    before = ofRequest.size;
    for (const node of nodes) {
      if (OF_SIZES.has(node.opType ?? '')) continue;
      const depends = node.opType === 'If' || (node.input ?? []).some((name) => ofRequest.has(name));
      if (depends) for (const name of node.output ?? []) ofRequest.add(name);
    }
  }
  return nodes.every((node) => isPlain(node, ofRequest));
}

function isPlain(
  { opType = '', domain = '', input = [], attribute = [] }: WireNode,
  ofRequest: ReadonlySet<string>,
): boolean {
  const inner = attribute.flatMap(({ g, graphs = [] }) => (g === undefined ? graphs : [g, ...graphs]));
  if (domain === 'ai.onnx.ml') return CLASSIC.has(opType) && inner.length === 0;
  if (domain === 'com.microsoft') return OPTIMIZED.has(opType) && inner.length === 0;
  if (domain !== '' && domain !== 'ai.onnx') return false;
  if (opType === 'If') return inner.every((graph) => isBounded(graph, ofRequest));
  if (inner.length > 0) return false;
  const sizes = SIZED[opType];
  if (sizes !== undefined) return !input.slice(sizes).some((name) => ofRequest.has(name));
  return PLAIN.has(opType);
}
