"""Writes a model again with weights of eight bits, computed with as such: dynamic quantisation, as onnxruntime does it.

quantize.py MODEL.onnx OUT.onnx
"""

import logging
import sys
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

INTEGER_OPERATORS = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}


def main(source, target):
    logging.disable(logging.WARNING)
    prepared = Path(target).with_suffix(".prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_dynamic(prepared, target, weight_type=QuantType.QInt8, per_channel=True)
    prepared.unlink()
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    converted = [kind for kind in kinds if kind in INTEGER_OPERATORS]
    if not converted:
        sys.exit("none of its operators can be quantised: layers of neural networks can (MatMul, Gemm, Conv, LSTM)")
    print(f"{len(converted)} operators compute with eight bits: {', '.join(sorted(set(converted)))}", flush=True)


main(sys.argv[1], sys.argv[2])
