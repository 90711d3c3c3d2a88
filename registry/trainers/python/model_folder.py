"""Writes what was trained as headwater reads it: model.onnx, headwater.json, card.json."""

import hashlib
import json
import sys

import numpy as np
import onnxruntime

EXAMPLES = 16


def run_onnx(fitted, matrix):
    """[N, width], from the exported bytes."""
    session = onnxruntime.InferenceSession(fitted.onnx, providers=["CPUExecutionProvider"])
    output = session.run([fitted.output], {fitted.input: matrix})[0]
    return output.reshape(len(matrix), -1)


def check_parity(fitted, matrix):
    """What the file gives for these rows, once it is what the trainer gives. Rows that lack what the model requires are left out."""
    rows = matrix[~np.isnan(matrix).any(axis=1)] if fitted.required else matrix
    expected = fitted.predict(rows).reshape(len(rows), -1)
    found = run_onnx(fitted, rows)
    difference = float((np.abs(found - expected) / (1 + np.abs(expected))).max())
    print(f"the ONNX file and its trainer differ by {difference:.2e} at most, over {len(rows)} rows", flush=True)
    if not difference <= fitted.tolerance:
        sys.exit(f"the exported model differs from the trained one by {difference}; {fitted.tolerance} is taken")
    return difference


def write_model_folder(out, training_set, fitted, params, held_out_from):
    difference = check_parity(fitted, training_set.rows.matrix)
    inputs = [{**entry, "required": fitted.required} for entry in training_set.inputs]
    manifest = training_set.manifest
    signature = {
        "inputs": inputs,
        "task": fitted.task,
        "classes": fitted.classes,
        "onnx": {"input": fitted.input, "output": fitted.output},
        "featureService": {
            "service": manifest["service"]["service"],
            "fingerprint": manifest["service"]["fingerprint"],
        },
    }
    if fitted.threshold is not None:
        signature["threshold"] = fitted.threshold
    document = {
        "format": "headwater-model-1",
        "sha256": hashlib.sha256(fitted.onnx).hexdigest(),
        "signature": signature,
        "examples": golden_rows(training_set, fitted, held_out_from),
    }
    card = {
        "metrics": {**fitted.metrics, "onnx_difference": difference},
        "params": {
            **{name: str(value) for name, value in {**params, **fitted.params}.items()},
            "training_rows": str(held_out_from),
            "training_set_sha256": training_set.sha256,
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(fitted.onnx)
    (out / "headwater.json").write_text(json.dumps(document, indent=2) + "\n")
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"wrote {out}/model.onnx ({len(fitted.onnx)} bytes), headwater.json and card.json", flush=True)


def golden_rows(training_set, fitted, held_out_from):
    """Rows that were held out, with what the file gives for them."""
    matrix = training_set.rows.matrix
    usable = np.arange(held_out_from, len(matrix))
    if fitted.required:
        usable = usable[~np.isnan(matrix[usable]).any(axis=1)]
    chosen = usable[(np.arange(EXAMPLES) * len(usable)) // EXAMPLES] if len(usable) > 0 else []
    outputs = run_onnx(fitted, matrix[chosen]) if len(chosen) > 0 else []
    return [
        {"features": training_set.instance(int(row)), "output": [float(value) for value in output]}
        for row, output in zip(chosen, outputs)
    ]
