"""Makes models as make_models.py does, and what Python's shap says of them against a background. Writes NAME/model.onnx and NAME/case.json under the folder that is given."""

import json
import os
import sys
import warnings

import lightgbm
import numpy as np
import onnx
import shap
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as OnnxmlFloat
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

warnings.filterwarnings("ignore")
out = sys.argv[1]
random = np.random.default_rng(11)
COLUMNS = 8
X = random.normal(size=(600, COLUMNS)).astype(np.float32)
X[:, 7] = random.integers(0, 9, 600)
signal = X[:, 0] + 0.6 * X[:, 1] * X[:, 2] + np.where(np.isin(X[:, 7], [1, 3, 6]), 1.0, -0.5)
binary = (signal > 0).astype(np.int64)
three = np.digitize(signal, [-0.6, 0.6])
holes = X.copy()
holes[random.random(X.shape) < 0.15] = np.nan
BACKGROUND, ROWS = 60, 24


def listed(array):
    return [[None if np.isnan(v) else float(v) for v in row] for row in array]


def exactly(predict, data):
    """Shapley values by all coalitions of columns."""
    explainer = shap.explainers.Exact(predict, shap.maskers.Independent(data[:BACKGROUND], max_samples=BACKGROUND))
    found = explainer(data[-ROWS:].astype(np.float64), max_evals=2**COLUMNS + 1)
    return found.values, found.base_values


def by_trees(model, data):
    explainer = shap.TreeExplainer(model, data[:BACKGROUND], feature_perturbation="interventional", model_output="raw")
    return explainer.shap_values(data[-ROWS:], check_additivity=False), explainer.expected_value


def save(name, model, data, expected, source):
    values, base = (np.asarray(each, dtype=np.float64) for each in expected)
    # [rows, columns, outputs]; of two classes the second.
    values = values[:, :, None] if values.ndim == 2 else values
    base = np.broadcast_to(base.reshape(-1, values.shape[2]) if base.ndim > 0 else base, (ROWS, values.shape[2]))
    folder = os.path.join(out, name)
    os.makedirs(folder)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    with open(os.path.join(folder, "case.json"), "w") as file:
        case = {
            "name": name,
            "source": source,
            "background": listed(data[:BACKGROUND]),
            "rows": listed(data[-ROWS:]),
            "values": values.tolist(),
            "base": base.tolist(),
        }
        json.dump(case, file)


def sk(name, estimator, y, data=X):
    estimator.fit(data, y)
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    return to_onnx(estimator, data[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options=options), estimator


def trees(name, estimator, y, data=X):
    model, fitted = sk(name, estimator, y, data)
    save(name, model, data, by_trees(fitted, data), "TreeExplainer")


trees("forest_regression", RandomForestRegressor(30, random_state=1), signal * 1000)
trees("forest_two_values", RandomForestRegressor(20, max_depth=7, random_state=1), np.stack([signal, X[:, 3] - signal], axis=1))
trees("forest_binary", RandomForestClassifier(30, max_depth=8, random_state=1), binary)
trees("forest_classes", RandomForestClassifier(30, random_state=1), three)
trees("extra_trees_classes", ExtraTreesClassifier(20, max_depth=9, random_state=1), three)
trees("decision_tree", DecisionTreeClassifier(random_state=1), three)
trees("boosting_regression", GradientBoostingRegressor(n_estimators=40, max_depth=4), signal)
trees("boosting_binary", GradientBoostingClassifier(n_estimators=40), binary)
# shap's TreeExplainer does not take it with several classes.
model, fitted = sk("boosting_classes", GradientBoostingClassifier(n_estimators=15), three)
save("boosting_classes", model, X, exactly(fitted.decision_function, X), "Exact")

types = [("input", OnnxmlFloat([None, COLUMNS]))]


def light(name, estimator, y, *, data=holes, categories=None):
    estimator.set_params(verbose=-1, n_estimators=25)
    estimator.fit(data, y, categorical_feature=categories or "auto")
    is_classifier = hasattr(estimator, "classes_")
    model = convert_lightgbm(estimator, initial_types=types, target_opset=15, **({"zipmap": False} if is_classifier else {}))
    if categories is None:
        return save(name, model, data, by_trees(estimator, data), "TreeExplainer")
    # Category by category, on the library's own scores.
    save(name, model, data, exactly(lambda rows: estimator.predict(rows.astype(np.float32), raw_score=True), data), "Exact")


light("lightgbm_missing_regression", lightgbm.LGBMRegressor(), signal)
light("lightgbm_missing_binary", lightgbm.LGBMClassifier(), binary)
light("lightgbm_missing_classes", lightgbm.LGBMClassifier(), three)
categories = dict(max_cat_to_onehot=1, min_data_per_group=5, cat_smooth=1.0, min_child_samples=5)
light("lightgbm_categories_regression", lightgbm.LGBMRegressor(**categories), signal, data=X, categories=[7])
light("lightgbm_categories_binary", lightgbm.LGBMClassifier(**categories), binary, data=X, categories=[7])
light("lightgbm_categories_classes", lightgbm.LGBMClassifier(**categories), three, data=X, categories=[7])


def boosted(name, estimator, y, explain=by_trees):
    estimator.set_params(n_estimators=30, max_depth=5)
    estimator.fit(holes, y)
    model = convert_xgboost(estimator, initial_types=types, target_opset=15)
    save(name, model, holes, explain(estimator, holes), "TreeExplainer" if explain is by_trees else "Exact")


def by_margin(estimator, data):
    return exactly(lambda rows: estimator.predict(rows.astype(np.float32), output_margin=True), data)


boosted("xgboost_missing_regression", xgboost.XGBRegressor(), signal)
boosted("xgboost_missing_binary", xgboost.XGBClassifier(), binary)
# What shap's TreeExplainer gives here does not add up to XGBoost's own scores: it leaves out the intercept of each class.
boosted("xgboost_missing_classes", xgboost.XGBClassifier(), three, by_margin)

# What is no trees, by coalitions of columns.
model, fitted = sk("imputer_and_logistic", make_pipeline(SimpleImputer(), LogisticRegression(max_iter=500)), three, holes)
save("imputer_and_logistic", model, holes, exactly(fitted.predict_proba, holes), "Exact")
