"""Makes ONNX graphs of kinds that no trainer above writes: control flow, sequences and optional values inside, operators of Microsoft, weights of 4 and 8 bits, scalars, data in several files."""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx_cases import case_writer

save = case_writer(sys.argv[1])
random = np.random.default_rng(5)
FLOAT, INT64, BOOL, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING
info, node = helper.make_tensor_value_info, helper.make_node


def constant(name, value, kind=np.float32):
    return numpy_helper.from_array(np.array(value, dtype=kind), name)


def model(nodes, inputs, outputs, initializers=(), opset=17, ir=8, domains=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir)


x = random.normal(size=(4, 3)).astype(np.float32)
rows = [info("x", FLOAT, ["N", 3])]
given = [info("y", FLOAT, ["N", 3])]

# Control flow.
double = helper.make_graph([node("Add", ["x", "x"], ["doubled"])], "then", [], [info("doubled", FLOAT, ["N", 3])])
negate = helper.make_graph([node("Neg", ["x"], ["negated"])], "else", [], [info("negated", FLOAT, ["N", 3])])
branch = [node("ReduceSum", ["x"], ["sum"], keepdims=0), node("Greater", ["sum", "zero"], ["positive"]), node("If", ["positive"], ["y"], then_branch=double, else_branch=negate)]
for name, feed in (("then", np.abs(x)), ("else", -np.abs(x))):
    save(f"if_{name}", model(branch, rows, given, [constant("zero", 0)]), {"x": feed})
body = helper.make_graph(
    [node("Add", ["before", "x"], ["after"]), node("Identity", ["go"], ["more"])],
    "body", [info("turn", INT64, []), info("go", BOOL, []), info("before", FLOAT, None)], [info("more", BOOL, []), info("after", FLOAT, None)],
)  # fmt: skip
save("loop_of_scalar_count", model([node("Loop", ["times", "", "x"], ["y"], body=body)], [info("times", INT64, []), *rows], given), {"times": np.array(3, dtype=np.int64), "x": x})
step = helper.make_graph(
    [node("Add", ["sum", "row"], ["next"]), node("Identity", ["next"], ["kept"])],
    "step", [info("sum", FLOAT, [3]), info("row", FLOAT, [3])], [info("next", FLOAT, [3]), info("kept", FLOAT, [3])],
)  # fmt: skip
save("scan", model([node("Scan", ["start", "x"], ["last", "y"], body=step, num_scan_inputs=1)], rows, [info("last", FLOAT, [3]), *given], [constant("start", [0, 0, 0])]), {"x": x})

# Sequences and optional values inside.
save("sequence_inside", model([node("SplitToSequence", ["x"], ["parts"], axis=1), node("ConcatFromSequence", ["parts"], ["y"], axis=1)], rows, given), {"x": x})
save("sequence_at_scalar", model([node("SplitToSequence", ["x"], ["parts"], axis=1), node("SequenceAt", ["parts", "at"], ["y"])], [*rows, info("at", INT64, [])], [info("y", FLOAT, ["N", 1])]), {"x": x, "at": np.array(-1, dtype=np.int64)})
save("optional_inside", model([node("Optional", ["x"], ["maybe"]), node("OptionalGetElement", ["maybe"], ["y"])], rows, given, opset=18), {"x": x})

# Text.
words = np.array(["Über", "the", "", "Ärger"], dtype=object)
save("string_normalizer", model([node("StringNormalizer", ["text"], ["y"], case_change_action="LOWER", is_case_sensitive=0, stopwords=["the"], locale="C")], [info("text", STRING, ["N"])], [info("y", STRING, ["M"])]), {"text": words})
save("string_equal", model([node("Equal", ["a", "b"], ["y"])], [info("a", STRING, ["N"]), info("b", STRING, ["N"])], [info("y", BOOL, ["N"])], opset=19, ir=9), {"a": words, "b": words[::-1].copy()})

# Operators of Microsoft, and of a graph's own functions.
save("microsoft_gelu", model([node("Gelu", ["x"], ["y"], domain="com.microsoft")], rows, given, domains=["com.microsoft"]), {"x": x})
save("microsoft_fused_matmul", model([node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", transB=1, alpha=0.5)], rows, given, [constant("w", random.normal(size=(3, 3)))], domains=["com.microsoft"]), {"x": x})
own = model([node("Twice", ["x"], ["y"], domain="own")], rows, given, domains=["own"])
own.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]))
save("function_of_its_own", own, {"x": x})

# Weights of 4 and 8 bits.
for name, kind, opset, ir in (("int4", TensorProto.INT4, 21, 10), ("uint4", TensorProto.UINT4, 21, 10), ("float8", TensorProto.FLOAT8E4M3FN, 19, 9)):
    weights = helper.make_tensor("w", kind, [3, 2], [1, 2, 3, 4, 5, 7])
    small = model([node("DequantizeLinear", ["w", "scale"], ["real"]), node("MatMul", ["x", "real"], ["y"])], rows, [info("y", FLOAT, ["N", 2])], [weights, constant("scale", 0.5)], opset=opset, ir=ir)
    save(f"weights_{name}", small, {"x": x})

# Scalars, an empty list of dimensions that the graph leaves open, many dimensions.
save("scalars", model([node("Mul", ["a", "b"], ["y"])], [info("a", FLOAT, []), info("b", FLOAT, [])], [info("y", FLOAT, [])]), {"a": np.array(1.5, dtype=np.float32), "b": np.array(-2, dtype=np.float32)})
save("rank_unknown", model([node("Neg", ["x"], ["y"])], [info("x", FLOAT, None)], [info("y", FLOAT, None)]), {"x": random.normal(size=(2, 2, 2)).astype(np.float32)})
save("eight_dimensions", model([node("Abs", ["x"], ["y"])], [info("x", FLOAT, [1, 2, 1, 2, 1, 2, 1, 2])], [info("y", FLOAT, [1, 2, 1, 2, 1, 2, 1, 2])]), {"x": random.normal(size=(1, 2) * 4).astype(np.float32)})
save("constant_beside_rows", model([node("Neg", ["x"], ["y"]), node("Shape", ["x"], ["shape"])], rows, [*given, info("shape", INT64, [2])]), {"x": x})
save("output_of_another_count", model([node("NonZero", ["x"], ["y"])], rows, [info("y", INT64, [2, "M"])]), {"x": x})
save("output_is_input", model([node("Neg", ["x"], ["y"])], rows, [*given, info("x", FLOAT, ["N", 3])]), {"x": x})
save("initializer_is_input", model([node("Add", ["x", "bias"], ["y"])], [*rows, info("bias", FLOAT, [3])], given, [constant("bias", [1, 2, 3])]), {"x": x})

# Data in a file for each tensor.
layers = model([node("MatMul", ["x", "a"], ["h"]), node("MatMul", ["h", "b"], ["y"])], rows, given, [constant("a", random.normal(size=(3, 64))), constant("b", random.normal(size=(64, 3)))])
save("data_in_several_files", layers, {"x": x}, external="each")
onnx.checker.check_model(layers)
