"""Cases of test/models/onnx_models.test.ts: a model, tensors, and what Python's onnxruntime gives for them."""

import copy
import json
import os

import numpy as np
import onnx
import onnxruntime

DATATYPES = {
    "float16": "FP16", "float32": "FP32", "float64": "FP64", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "bool": "BOOL", "object": "BYTES",
}  # fmt: skip


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return value.decode()
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return value if np.isfinite(value) else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return str(int(value)) if abs(int(value)) > 2**53 else int(value)
    return str(value)


def tensor(name, array):
    kind = "object" if array.dtype.kind in "OU" else array.dtype.name
    return {"name": name, "datatype": DATATYPES[kind], "shape": list(array.shape), "data": [plain(each) for each in array.reshape(-1)]}


def floats(array):
    return [[float(v) for v in row] for row in array]


def case_writer(out):
    """Returns what writes NAME/model.onnx and NAME/case.json under a folder."""

    def save(name, model, feeds, *, metadata=None, columns=None, frame=None, labels=None, tags=None, tolerance=3e-5, external=False):
        """external: whether initializers are in a file beside the graph; "each": in one file each. labels: what the library itself predicts for the rows; columns and frame: the rows as a data frame has them."""
        folder = os.path.join(out, name)
        os.makedirs(folder)
        path = os.path.join(folder, "model.onnx")
        where = {"all_tensors_to_one_file": False} if external == "each" else {"location": "weights.bin"}
        onnx.save(copy.deepcopy(model), path, **({"save_as_external_data": True, "size_threshold": 64, **where} if external else {}))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        results = session.run(None, feeds)
        outputs = [tensor(o.name, np.asarray(r)) for o, r in zip(session.get_outputs(), results) if isinstance(r, np.ndarray)]
        maps = [
            {"name": o.name, "classes": [plain(key) for key in r[0]], "data": [float(row[key]) for row in r for key in row]}
            for o, r in zip(session.get_outputs(), results)
            if isinstance(r, list) and r and isinstance(r[0], dict)
        ]
        case = {
            "name": name,
            "opset": max((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), default=0),
            "inputs": [tensor(key, value) for key, value in feeds.items()],
            "outputs": outputs,
            "maps": maps,
            "metadata": metadata,
            "tags": tags or {},
            "columns": columns,
            "frame": None if frame is None else [[plain(v) if v is not None else None for v in row] for row in frame],
            "labels": None if labels is None else [plain(label) if np.ndim(label) == 0 else [plain(v) for v in label] for label in labels],
            "tolerance": tolerance,
        }
        with open(os.path.join(folder, "case.json"), "w") as file:
            json.dump(case, file)

    return save
