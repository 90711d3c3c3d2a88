"""Trains models with XGBoost and saves them as JSON and UBJSON, with what `predict` gives for rows. Arguments: folder, seed, models."""

import json
import os
import sys
import warnings

import numpy as np
import xgboost

warnings.filterwarnings("ignore")
out, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
version = tuple(int(part) for part in xgboost.__version__.split("."))
ROWS, TESTED = 300, 64
MISSING = 0.1

VALUES = ["reg:squarederror", "reg:absoluteerror", "reg:squaredlogerror", "reg:pseudohubererror", "binary:logitraw", "rank:pairwise", "rank:ndcg"]
RATES = ["count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"]
CLASSES = ["binary:logistic", "binary:hinge", "reg:logistic", "multi:softprob", "multi:softmax"]
OBJECTIVES = VALUES + RATES + CLASSES + ["binary:logistic", "multi:softprob", "reg:squarederror"]


def save(name, booster, rows, expected, meaning):
    folder = os.path.join(out, name)
    os.makedirs(folder)
    for kind in ("json", "ubj"):
        with open(os.path.join(folder, f"model.{kind}"), "wb") as file:
            file.write(bytes(booster.save_raw(kind)))
    case = {
        "name": name,
        "version": xgboost.__version__,
        "meaning": meaning,
        "rows": [[None if value is None or value != value else value for value in row] for row in rows],
        "expected": np.asarray(expected, dtype=np.float64).reshape(len(rows), -1).tolist(),
    }
    with open(os.path.join(folder, "case.json"), "w") as file:
        json.dump(case, file)


def columns_of(random, kind):
    """A matrix, types of its columns, and the rows as a client sends them."""
    width = int(random.integers(1, 9))
    types = ["q" if kind == "gblinear" else str(random.choice(["q", "q", "float", "int", "i", "c"])) for _ in range(width)]
    matrix = np.empty((ROWS, width), dtype=np.float32)
    for column, each in enumerate(types):
        if each == "c":
            matrix[:, column] = random.integers(0, int(random.choice([2, 3, 7, 40, 90])), ROWS)
        elif each == "int":
            matrix[:, column] = random.integers(-20, 20, ROWS)
        elif each == "i":
            matrix[:, column] = random.integers(0, 2, ROWS)
        else:
            matrix[:, column] = random.normal(0, float(random.choice([0.01, 1, 1000])), ROWS)
    matrix[random.random(matrix.shape) < MISSING] = np.nan
    return matrix, types


def labels_of(random, objective, matrix):
    weights = random.normal(size=(64, matrix.shape[1]))
    scaled = np.nan_to_num(matrix / (np.nanstd(matrix, axis=0) + 1e-9))
    signal = scaled @ weights[0] + np.sin(scaled @ weights[1]) + random.normal(0, 0.1, len(matrix))
    if objective.startswith("multi"):
        classes = int(random.integers(2, 6))
        return np.argmax(scaled @ weights[:classes].T, axis=1), {"num_class": classes}
    if objective in ("binary:logistic", "binary:hinge", "binary:logitraw", "reg:logistic"):
        return (signal > random.normal(0, 0.5)).astype(np.float32), {}
    if objective.startswith("rank"):
        return np.digitize(signal, [-1, 0, 1]), {}
    if objective in RATES or objective == "reg:squaredlogerror":
        return np.exp(np.clip(signal / 3, -3, 3)), {}
    return signal * float(random.choice([1, 1, 100])), {}


def matrix_of(matrix, labels, types, objective):
    data = xgboost.DMatrix(matrix, labels, feature_types=types, enable_categorical=True, feature_names=[f"column {i}" for i in range(len(types))])
    if objective.startswith("rank"):
        data.set_group([ROWS // 10] * 10)
    if objective == "survival:aft":
        data.set_float_info("label_lower_bound", labels)
        data.set_float_info("label_upper_bound", labels)
    return data


def test_rows(random, matrix, types):
    rows = matrix[:TESTED].copy()
    for column, each in enumerate(types):
        if each == "c":  # codes that no row had, and what lies between codes
            rows[::7, column] = random.integers(0, 120, len(rows[::7]))
    return rows


def native(name, random):
    booster = str(random.choice(["gbtree", "gbtree", "gbtree", "dart", "gblinear"]))
    objective = str(random.choice(OBJECTIVES))
    if booster == "gblinear" and objective in ("survival:aft", "reg:absoluteerror", "reg:gamma", "count:poisson", "reg:tweedie"):
        objective = "reg:squarederror"
    matrix, types = columns_of(random, booster)
    labels, more = labels_of(random, objective, matrix)
    params = {
        "objective": objective,
        "booster": booster,
        "seed": int(random.integers(1000)),
        "nthread": 1,
        "eta": float(random.choice([0.1, 0.3, 0.7])),
        **more,
    }
    if booster != "gblinear":
        params |= {
            "max_depth": int(random.integers(1, 8)),
            "tree_method": "hist",
            "max_cat_to_onehot": int(random.choice([1, 4, 100])),
            "num_parallel_tree": int(random.choice([1, 1, 1, 3])),
            "subsample": float(random.choice([1, 0.7])),
            "min_child_weight": float(random.choice([0, 1, 5])),
            "gamma": float(random.choice([0, 0, 1])),
        }
    if booster == "dart":
        params |= {"rate_drop": 0.4, "skip_drop": 0.2}
    if random.random() < 0.3:
        params["base_score"] = 0.3
    rounds = int(random.integers(1, 25))
    data = matrix_of(matrix, labels, types, objective)
    trained = xgboost.train(params, data, rounds)
    rows = test_rows(random, matrix, types)
    predicted = trained.predict(xgboost.DMatrix(rows, feature_types=types, enable_categorical=True, feature_names=data.feature_names))
    meaning = "labels" if objective == "multi:softmax" else "values"
    if objective in ("binary:logistic", "binary:hinge"):
        predicted = np.stack([1 - predicted, predicted], axis=1)
    shown = [[int(v) if t in ("c", "int") and v == v else bool(v) if t == "i" and v == v else float(v) for v, t in zip(row, types)] for row in rows]
    save(name, trained, shown, predicted, meaning)
    return f"{booster} {objective}"


def several_targets(name, random):
    matrix, types = columns_of(random, "gbtree")
    labels = np.stack([labels_of(random, "reg:squarederror", matrix)[0] for _ in range(int(random.integers(2, 5)))], axis=1)
    params = {"max_depth": 4, "tree_method": "hist", "nthread": 1}
    objective = str(random.choice(["reg:squarederror", "binary:logistic", "reg:quantileerror" if version >= (2, 0, 0) else "reg:squarederror"]))
    if objective == "binary:logistic":
        labels = (labels > 0).astype(int)
    if objective == "reg:quantileerror":
        labels = labels[:, 0]
        params["quantile_alpha"] = [0.1, 0.5, 0.9]
    elif version >= (2, 0, 0) and "c" not in types and random.random() < 0.6:
        params["multi_strategy"] = "multi_output_tree"
    data = matrix_of(matrix, labels, types, objective)
    trained = xgboost.train({**params, "objective": objective}, data, int(random.integers(1, 15)))
    rows = test_rows(random, matrix, types)
    predicted = trained.predict(xgboost.DMatrix(rows, feature_types=types, enable_categorical=True, feature_names=data.feature_names))
    shown = [[int(v) if t in ("c", "int") and v == v else bool(v) if t == "i" and v == v else float(v) for v, t in zip(row, types)] for row in rows]
    save(name, trained, shown, predicted, "values")
    return f"several targets {objective} {params.get('multi_strategy', '')}"


def data_frame(name, random):
    """The interface of scikit-learn, with columns of pandas, early stopping and categories of strings and numbers."""
    import pandas

    size = ROWS
    frame = pandas.DataFrame(
        {
            "amount": random.normal(size=size).astype(np.float32),
            "city": pandas.Categorical(random.choice(["Essen", "Lyon", "Porto", "x, \"y\"", "NaN"], size)),
            "items": random.integers(0, 9, size),
            "is_new": random.random(size) > 0.5,
            "month": pandas.Categorical(random.integers(-3, 9, size)),
        }
    )
    signal = frame["amount"] + frame["city"].cat.codes * 0.4 + frame["items"] * 0.1
    is_classifier = random.random() < 0.6
    classes = int(random.integers(2, 5))
    y = np.digitize(signal, np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1])) if is_classifier else signal
    settings = {"n_estimators": 40, "max_depth": 4, "enable_categorical": True, "tree_method": "hist", "early_stopping_rounds": 3, "n_jobs": 1}
    model = (xgboost.XGBClassifier if is_classifier else xgboost.XGBRegressor)(**settings, max_cat_to_onehot=int(random.choice([1, 10])))
    model.fit(frame[:200], y[:200], eval_set=[(frame[200:], y[200:])], verbose=False)
    tested = frame[:TESTED]
    predicted = model.predict_proba(tested) if is_classifier else model.predict(tested)
    shown = [[value.item() if hasattr(value, "item") else value for value in row] for row in tested.itertuples(index=False)]
    path = os.path.join(out, f"{name}.json")
    model.save_model(path)
    save(name, xgboost.Booster(model_file=path), shown, predicted, "values")
    os.remove(path)
    return "data frame"


for index in range(count):
    random = np.random.default_rng([seed, index])
    name = f"{xgboost.__version__}-{seed}-{index}"
    make = random.choice([native, native, native, native, several_targets, data_frame if version >= (3, 2, 0) else several_targets])
    print(name, make(name, random), flush=True)
