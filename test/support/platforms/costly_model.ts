import type { ModelPackage } from '#registry/packages/model_package';
import { type Mlp, mlpToOnnx } from '#registry/trainers/tfjs/onnx_mlp';
import { tinyModel } from './tiny_model.ts';

const WIDE = 3_000;

/** The tiny model with two layers more, of nine million weights each: milliseconds a row. */
export function costlyModel(): ModelPackage {
  const tiny = tinyModel(0);
  const layer = (inputs: number, outputs: number) => ({
    weights: new Float32Array(inputs * outputs).fill(1 / inputs),
    bias: new Float32Array(outputs),
  });
  const mlp: Mlp = {
    ...{ width: 4, fill: Float32Array.of(1, 2, 0, 0.4), center: new Float32Array(4) },
    scale: new Float32Array(4).fill(1),
    layers: [layer(4, WIDE), layer(WIDE, WIDE), layer(WIDE, WIDE), layer(WIDE, 1)],
  };
  return { ...tiny, onnx: mlpToOnnx(mlp, 'test'), examples: [] };
}
