"""Outliers (isolation forest, scikit-learn; Liu, Ting and Zhou, ICDM 2008): a score between 0 and 1, above about 0.5 where few rows are."""

import sys

import numpy as np
from onnx import TensorProto, helper, load_from_string, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn import __version__ as version
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline

from fitted import Fitted

OPSET = {"": 15, "ai.onnx.ml": 3}
# contamination: share of the training rows that are to be called anomalies.
DEFAULTS = {"n_estimators": 100, "max_samples": 256, "max_features": 1.0, "contamination": 0.01}


def suggest(trial):
    return {
        "n_estimators": trial.suggest_int("n_estimators", 50, 300, log=True),
        "max_samples": trial.suggest_int("max_samples", 64, 1024, log=True),
        "max_features": trial.suggest_float("max_features", 0.3, 1.0),
    }


def objective(spec):
    return ("pr_auc", "maximize")


def score(spec, fitted, rows):
    if len(set(rows.labels)) < 2:
        sys.exit("a search needs labels that say which rows are anomalies (1), and the newest rows have none: train without --search")
    return float(average_precision_score(rows.labels > 0, fitted.predict(rows.matrix)[:, 0]))


def fit(spec, rows, params):
    empty = np.isnan(rows.matrix).all(axis=0)
    if empty.any():
        sys.exit(f"{int(empty.sum())} columns have no values in any row: leave them out with `columns`")
    contamination = params["contamination"]
    forest = IsolationForest(
        **{name: value for name, value in params.items() if name != "contamination"},
        random_state=spec["seed"],
        n_jobs=1,
    )
    model = make_pipeline(SimpleImputer(strategy="median"), forest).fit(rows.matrix)
    round_thresholds(forest)

    def predict(matrix):
        return -model.score_samples(matrix)[:, None]

    return Fitted(
        onnx=export(model, forest.offset_, rows.matrix.shape[1]),
        input="features",
        output="anomaly_score",
        task="anomaly_detection",
        classes=["normal", "anomaly"],
        threshold=float(np.quantile(predict(rows.matrix), 1 - contamination)),
        predict=predict,
        params={"library": f"scikit-learn {version}"},
    )


def round_thresholds(forest):
    """
    Makes each threshold the largest FP32 number that is not above it. ONNX keeps them in FP32; rounded up, a value that was above one could
    be below it. FP32 values are divided as before.
    """
    for tree in forest.estimators_:
        thresholds = tree.tree_.threshold
        rounded = thresholds.astype(np.float32)
        above = rounded.astype(np.float64) > thresholds
        rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
        thresholds[:] = rounded


def export(model, offset, width):
    """skl2onnx gives scores less the offset, and higher for what is normal; what is wanted is the score of the paper."""
    types = [("features", FloatTensorType([None, width]))]
    # Without a name it would be another one each time.
    exported = to_onnx(model, name="isolation_forest", initial_types=types, target_opset=OPSET)
    proto = load_from_string(exported.SerializeToString())
    graph = proto.graph
    graph.initializer.append(numpy_helper.from_array(np.array([-offset], dtype=np.float32), "minus_offset"))
    graph.node.append(helper.make_node("Sub", ["minus_offset", "scores"], ["anomaly_score"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("anomaly_score", TensorProto.FLOAT, ["N", 1]))
    return proto.SerializeToString()
