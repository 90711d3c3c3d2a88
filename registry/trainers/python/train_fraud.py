"""Trains the XGBoost fraud detector on a training set written by headwater and exports it as ONNX.

Usage: train_fraud.py TRAINING_SET_FOLDER OUT_FOLDER

TRAINING_SET_FOLDER holds data.csv (label_id, entity_key, event_time, label, then the features) and manifest.json.
OUT_FOLDER gets model.onnx, headwater.json (signature and golden examples) and card.json (metrics and parameters).
The newest fifth of the rows is held out. Same input, same output: one thread, fixed seed.
"""

import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

HELD_OUT_SHARE = 0.2
LEADING = ["label_id", "entity_key", "event_time", "label"]
CLASSES = ["legitimate", "fraud"]
PARAMS = {
    "n_estimators": 120,
    "max_depth": 5,
    "learning_rate": 0.1,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "min_child_weight": 5,
    "random_state": 7,
    "n_jobs": 1,
}
LARGEST_DIFFERENCE = 1e-5
EXAMPLES = 16
OPSET = 15


def data_file(manifest):
    for file in manifest["files"]:
        if file["name"] == "data.csv":
            return file
    sys.exit("the training set has no data.csv: make it with --format csv and without --split-at")


def read(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    data = (folder / "data.csv").read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != data_file(manifest)["sha256"]:
        sys.exit(f"{folder}/data.csv has changed since its manifest was written: make the training set again")
    rows = list(csv.DictReader(data.decode("utf-8").splitlines()))
    expected = LEADING + [column["name"] for column in manifest["columns"]]
    if list(rows[0]) != expected:
        sys.exit(f"data.csv has columns {list(rows[0])}, the manifest says {expected}")
    return manifest, rows


def encode(columns, rows):
    """FP32 [rows, columns]: numbers as they are, categories by their position in alphabetical order, missing as NaN."""
    inputs = []
    matrix = np.full((len(rows), len(columns)), np.nan, dtype=np.float32)
    for at, column in enumerate(columns):
        name = column["name"]
        values = [row[name] for row in rows]
        entry = {"name": name, "type": column["type"], "required": False}
        if column["type"] == "string":
            categories = {value: float(index) for index, value in enumerate(sorted({v for v in values if v != ""}))}
            entry["categories"] = categories
            entry["unknownCategory"] = -1
            matrix[:, at] = [categories.get(value, np.nan) for value in values]
        else:
            matrix[:, at] = [float(value) if value != "" else np.nan for value in values]
        inputs.append(entry)
    return inputs, matrix


def instance(columns, row):
    def value(column):
        text = row[column["name"]]
        if text == "":
            return None
        if column["type"] == "string":
            return text
        if column["type"] == "boolean":
            return text == "1"
        return int(text) if column["type"] == "long" else float(text)

    return {column["name"]: value(column) for column in columns}


def main(source, out):
    manifest, rows = read(source)
    columns = manifest["columns"]
    inputs, matrix = encode(columns, rows)
    labels = np.array([int(float(row["label"])) for row in rows])
    split = int(len(rows) * (1 - HELD_OUT_SHARE))
    print(f"training on {split} rows, {labels[:split].sum()} positive; {len(rows) - split} held out", flush=True)
    model = xgboost.XGBClassifier(**PARAMS, tree_method="hist", eval_metric="logloss")
    model.fit(matrix[:split], labels[:split])

    onnx_model = convert_xgboost(
        model, initial_types=[("features", FloatTensorType([None, len(columns)]))], target_opset=OPSET
    )
    onnx_bytes = onnx_model.SerializeToString()
    session = onnxruntime.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    probabilities = session.run(["probabilities"], {"features": matrix})[0]
    difference = float(np.abs(probabilities - model.predict_proba(matrix)).max())
    print(f"onnxruntime and xgboost differ by {difference:.2e} at most, over {len(rows)} rows; outputs {outputs}", flush=True)
    if difference > LARGEST_DIFFERENCE:
        sys.exit(f"the exported model differs from the trained one by {difference}")

    held_labels, held = labels[split:], probabilities[split:, 1]
    metrics = {
        "auc": float(roc_auc_score(held_labels, held)),
        "pr_auc": float(average_precision_score(held_labels, held)),
        "logloss": float(log_loss(held_labels, held)),
        "brier": float(brier_score_loss(held_labels, held)),
    }
    print("held out:", " ".join(f"{name} {value:.4f}" for name, value in metrics.items()), flush=True)

    chosen = [split + (index * (len(rows) - split)) // EXAMPLES for index in range(EXAMPLES)]
    document = {
        "format": "headwater-model-1",
        "sha256": hashlib.sha256(onnx_bytes).hexdigest(),
        "signature": {
            "inputs": inputs,
            "task": "binary_classification",
            "classes": CLASSES,
            "onnx": {"input": "features", "output": "probabilities"},
            "featureService": {
                "service": manifest["service"]["service"],
                "fingerprint": manifest["service"]["fingerprint"],
            },
        },
        "examples": [
            {"features": instance(columns, rows[at]), "output": [float(value) for value in probabilities[at]]}
            for at in chosen
        ],
    }
    card = {
        "metrics": metrics,
        "params": {
            **{name: str(value) for name, value in PARAMS.items()},
            "trainer": f"xgboost {xgboost.__version__}",
            "training_rows": str(split),
            "training_set_sha256": data_file(manifest)["sha256"],
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(onnx_bytes)
    (out / "headwater.json").write_text(json.dumps(document, indent=2) + "\n")
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"wrote {out}/model.onnx ({len(onnx_bytes)} bytes), headwater.json and card.json", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
