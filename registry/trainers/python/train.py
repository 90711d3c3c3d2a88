"""Trains a model on a training set written by headwater and exports it as ONNX.

Usage: train.py SPEC.json

The specification names: trainer (xgboost, kmeans, isolation_forest, lstm), trainingSet and out (folders), seed, params, trials (0: no search),
columns (none: all), and for xgboost task and classes. `out` gets model.onnx, headwater.json (signature and golden rows), card.json (what the
trainer knows) and trials.json after a search. The newest fifth of the rows is not trained on. Same input, same output: one thread, fixed seed.
"""

import importlib
import json
import sys
from pathlib import Path

from model_folder import write_model_folder
from search import search
from training_set import TrainingSet

TRAINERS = {"xgboost": "xgboost_trees", "kmeans": "kmeans", "isolation_forest": "isolation_forest", "lstm": "lstm"}


def main(spec):
    out = Path(spec["out"])
    trainer = importlib.import_module(TRAINERS[spec["trainer"]])
    unknown = [name for name in spec["params"] if name not in trainer.DEFAULTS]
    if unknown:
        sys.exit(f"{spec['trainer']} has no parameters {unknown}; it has {trainer.DEFAULTS}")
    params = {**trainer.DEFAULTS, **spec["params"]}
    training_set = TrainingSet(Path(spec["trainingSet"]), spec.get("columns"))
    older, newer = training_set.rows.split()
    print(f"training on {len(older)} rows; {len(newer)} are held out", flush=True)
    if spec["trials"] > 0:
        params = search(spec, trainer, older, params, out, training_set.sha256)
    fitted = trainer.fit(spec, older, params)
    write_model_folder(out, training_set, fitted, params, len(older))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(json.loads(Path(sys.argv[1]).read_text()))
