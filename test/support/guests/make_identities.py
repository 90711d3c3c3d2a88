"""Writes a graph for each type of tensor that gives back what it takes: identity_TYPE.onnx under the folder that is given."""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

for dtype in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "object"):
    kind = TensorProto.STRING if dtype == "object" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [helper.make_tensor_value_info(name, kind, ["N", "M"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, os.path.join(sys.argv[1], f"identity_{dtype}.onnx"))
