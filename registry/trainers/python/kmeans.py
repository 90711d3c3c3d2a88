"""Clusters (K-means, scikit-learn): signed log of each column, standardised; as many clusters as have the best silhouette."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn import __version__ as version
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from fitted import Fitted

OPSET = 15
DEFAULTS = {"fewest_clusters": 2, "most_clusters": 10, "n_init": 10}
# The silhouette is of a sample: its cost grows with the square of the rows.
SILHOUETTE_ROWS = 5_000


def suggest(trial):
    count = trial.suggest_int("clusters", 2, 12)
    return {"fewest_clusters": count, "most_clusters": count, "n_init": 10}


def objective(spec):
    return ("silhouette", "maximize")


def silhouette(scaled, clusters, seed):
    if len(set(clusters)) < 2:
        return -1.0
    return float(silhouette_score(scaled, clusters, sample_size=min(SILHOUETTE_ROWS, len(scaled)), random_state=seed))


def score(spec, fitted, rows):
    return silhouette(fitted.scale(rows.matrix), fitted.predict(rows.matrix).argmin(axis=1), spec["seed"])


def fit(spec, rows, params):
    matrix = rows.matrix.astype(np.float64)
    # A column of which nothing is known says nothing.
    fill = np.array([np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in matrix.T])
    squashed = squash(matrix, fill)
    center, spread = squashed.mean(axis=0), squashed.std(axis=0)
    spread[spread == 0] = 1.0
    constants = [values.astype(np.float32) for values in (fill, center, spread)]

    def scale(rows_matrix):
        return (squash(rows_matrix.astype(np.float64), constants[0]) - constants[1]) / constants[2]

    scaled = scale(rows.matrix)
    best, silhouettes = None, {}
    for count in range(params["fewest_clusters"], params["most_clusters"] + 1):
        model = KMeans(n_clusters=count, n_init=params["n_init"], random_state=spec["seed"]).fit(scaled)
        quality = silhouette(scaled, model.labels_, spec["seed"])
        silhouettes[f"silhouette_of_{count}_clusters"] = quality
        print(f"{count} clusters: silhouette {quality:.4f}, inertia {model.inertia_:.1f}", flush=True)
        if best is None or quality > best[0]:
            best = (quality, model)
    quality, model = best
    # The largest first, so that names mean the same when it is trained again.
    order = np.argsort(-np.bincount(model.labels_, minlength=model.n_clusters), kind="stable")
    centers = model.cluster_centers_[order].astype(np.float32)

    def predict(rows_matrix):
        return np.linalg.norm(scale(rows_matrix)[:, None, :] - centers[None], axis=2)

    fitted = Fitted(
        onnx=export(*constants, centers),
        input="features",
        output="distances",
        task="clustering",
        classes=[f"segment_{index + 1}" for index in range(len(centers))],
        predict=predict,
        tolerance=1e-4,
        metrics={"silhouette": quality, "inertia": float(model.inertia_), "clusters": float(len(centers)), **silhouettes},
        params={"library": f"scikit-learn {version}", "clusters": len(centers)},
    )
    fitted.scale = scale
    return fitted


def squash(matrix, fill):
    filled = np.where(np.isnan(matrix), fill, matrix)
    return np.sign(filled) * np.log1p(np.abs(filled))


def export(fill, center, spread, centers):
    """[N, columns] to the Euclidean distance from each centre, [N, clusters]."""
    constants = {"fill": fill, "center": center, "spread": spread, "centers": centers, "one": np.float32(1)}
    initializers = [numpy_helper.from_array(np.asarray(values, dtype=np.float32), name) for name, values in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis_1"))
    initializers.append(numpy_helper.from_array(np.array([2], dtype=np.int64), "axis_2"))
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "fill", "features"], ["filled"]),
        helper.make_node("Sign", ["filled"], ["sign"]),
        helper.make_node("Abs", ["filled"], ["size"]),
        helper.make_node("Add", ["size", "one"], ["size_1"]),
        helper.make_node("Log", ["size_1"], ["log"]),
        helper.make_node("Mul", ["sign", "log"], ["squashed"]),
        helper.make_node("Sub", ["squashed", "center"], ["centered"]),
        helper.make_node("Div", ["centered", "spread"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "axis_1"], ["row"]),
        helper.make_node("Sub", ["row", "centers"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axis_2"], ["sum"], keepdims=0),
        helper.make_node("Sqrt", ["sum"], ["distances"]),
    ]
    graph = helper.make_graph(
        nodes,
        "kmeans",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(fill)])],
        [helper.make_tensor_value_info("distances", TensorProto.FLOAT, ["N", len(centers)])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8).SerializeToString()
