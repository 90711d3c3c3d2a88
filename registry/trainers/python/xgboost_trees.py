"""Gradient-boosted trees (XGBoost): classification, and regression."""

import json
import sys

import numpy as np
import xgboost
from onnx import helper
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import average_precision_score, root_mean_squared_error

from fitted import Fitted

OPSET = 15
DEFAULTS = {
    "n_estimators": 120,
    "max_depth": 5,
    "learning_rate": 0.1,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "min_child_weight": 5,
    "reg_lambda": 1.0,
}


def suggest(trial):
    return {
        "n_estimators": trial.suggest_int("n_estimators", 50, 400, log=True),
        "max_depth": trial.suggest_int("max_depth", 3, 9),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
        "min_child_weight": trial.suggest_int("min_child_weight", 1, 30, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 10.0, log=True),
    }


def objective(spec):
    return ("rmse", "minimize") if spec["task"] == "regression" else ("pr_auc", "maximize")


def score(spec, fitted, rows):
    predicted = fitted.predict(rows.matrix)
    if spec["task"] == "regression":
        return float(root_mean_squared_error(rows.labels, predicted[:, 0]))
    labels = rows.labels.astype(int)
    if predicted.shape[1] == 2:
        return float(average_precision_score(labels, predicted[:, 1]))
    return float(average_precision_score(np.eye(predicted.shape[1])[labels], predicted))


def fit(spec, rows, params):
    settings = {**params, "random_state": spec["seed"], "n_jobs": 1, "tree_method": "hist"}
    if spec["task"] == "regression":
        model = xgboost.XGBRegressor(**settings)
        model.fit(rows.matrix, rows.labels)
        return Fitted(
            onnx=export(model, rows),
            input="features",
            output="variable",
            task="regression",
            predict=lambda matrix: model.predict(matrix)[:, None],
            model=model,
            params={"library": f"xgboost {xgboost.__version__}"},
        )
    classes = spec["classes"]
    labels = check_labels(rows.labels, classes)
    model = xgboost.XGBClassifier(**settings, eval_metric="logloss" if len(classes) == 2 else "mlogloss")
    model.fit(rows.matrix, labels)
    return Fitted(
        onnx=export(model, rows),
        input="features",
        output="probabilities",
        task="binary_classification" if len(classes) == 2 else "multiclass_classification",
        classes=classes,
        predict=model.predict_proba,
        model=model,
        params={"library": f"xgboost {xgboost.__version__}"},
    )


def export(model, rows):
    types = [("features", FloatTensorType([None, rows.matrix.shape[1]]))]
    # Without a name it would be another one each time.
    exported = convert_xgboost(model, name="xgboost", initial_types=types, target_opset=OPSET)
    add_covers(exported.graph.node[0], model.get_booster())
    return exported.SerializeToString()


def add_covers(node, booster):
    """Says in `nodes_hitrates` how much of the training rows came through each node: what exact explanations need."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    index = {key: at for at, key in enumerate(zip(attributes["nodes_treeids"], attributes["nodes_nodeids"]))}
    covers = [0.0] * len(index)

    def walk(tree, at, dumped):
        covers[at] = float(dumped["cover"])
        children = {child["nodeid"]: child for child in dumped.get("children", [])}
        if children:
            walk(tree, index[tree, attributes["nodes_truenodeids"][at]], children[dumped["yes"]])
            walk(tree, index[tree, attributes["nodes_falsenodeids"][at]], children[dumped["no"]])

    for tree, dumped in enumerate(booster.get_dump(dump_format="json", with_stats=True)):
        walk(tree, index[tree, 0], json.loads(dumped))
    for attribute in [attribute for attribute in node.attribute if attribute.name == "nodes_hitrates"]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute("nodes_hitrates", covers))


def check_labels(labels, classes):
    found = sorted({float(label) for label in labels})
    if found != [float(index) for index in range(len(classes))]:
        sys.exit(
            f"labels are {found[:10]}, and the model has the classes {classes}: each class, 0 to {len(classes) - 1}, has to be among "
            "the older four fifths of the rows"
        )
    return labels.astype(int)
