"""Makes ONNX models with public libraries, and what Python's onnxruntime gives for them. Writes NAME/model.onnx and NAME/case.json under the folder that is given."""

import os
import sys
import warnings

import catboost
import lightgbm
import numpy as np
import onnx
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as OnnxmlFloat
from onnxruntime.quantization import QuantType, quantize_dynamic
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from onnx_cases import case_writer, floats

warnings.filterwarnings("ignore")
out = sys.argv[1]
save = case_writer(out)
random = np.random.default_rng(7)
X = random.normal(size=(400, 6)).astype(np.float32)
signal = X[:, 0] + 0.6 * X[:, 1] * X[:, 2]
binary = (signal > 0).astype(np.int64)
three = np.digitize(signal, [-0.6, 0.6]) * 10 + 10
colours = np.array(["red", "green", "blue"])[np.digitize(signal, [-0.6, 0.6])]
multi_y = np.stack([signal, -signal * 5.0, X[:, 3]], axis=1)
rows = X[:16]


def sk(name, estimator, y, *, target=17, options=None, labels=True, fit=X, feed=rows, **more):
    estimator.fit(fit, y)
    chosen = {id(estimator): options} if options else None
    model = to_onnx(estimator, feed[:1], target_opset={"": target, "ai.onnx.ml": 3}, options=chosen)
    key = model.graph.input[0].name
    predicted = estimator.predict(feed) if labels else None
    save(name, model, {key: feed}, frame=floats(feed), columns=[f"f{i}" for i in range(feed.shape[1])], labels=predicted, **more)


no_maps = {"zipmap": False}
# Classifiers: with maps of probabilities and without, labels of their own.
sk("logistic_zipmap", LogisticRegression(), binary)
sk("logistic_labels_10_20_30", LogisticRegression(max_iter=500), three, options=no_maps)
sk("logistic_colours", LogisticRegression(max_iter=500), colours, options=no_maps)
sk("forest_colours_zipmap", RandomForestClassifier(20, max_depth=5, random_state=1), colours)
sk("forest_10_20_30", RandomForestClassifier(20, max_depth=5, random_state=1), three, options=no_maps)
sk("forest_binary_ties", RandomForestClassifier(2, max_depth=3, random_state=1), binary, options=no_maps)
sk("extra_trees", ExtraTreesClassifier(15, max_depth=6, random_state=1), three, options=no_maps)
sk("decision_tree_minus_one", DecisionTreeClassifier(max_depth=4), binary * 2 - 1, options=no_maps)
sk("gradient_boosting", GradientBoostingClassifier(n_estimators=15), three, options=no_maps, tolerance=1e-4)
sk("adaboost", AdaBoostClassifier(n_estimators=8), three, options=no_maps, tolerance=1e-4)
sk("svc_probability", SVC(probability=True), three, options=no_maps, tolerance=1e-3)
sk("linear_svc", LinearSVC(), three)
sk("sgd_hinge", SGDClassifier(random_state=1), three, options=no_maps)
sk("naive_bayes", GaussianNB(), colours, options=no_maps, tolerance=1e-3)
sk("k_neighbours", KNeighborsClassifier(5), three, options=no_maps)
sk("mlp_classifier", MLPClassifier((8,), max_iter=60, random_state=1), colours, options=no_maps)
sk("voting", VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft", flatten_transform=False), three, options=no_maps, tolerance=1e-3)
sk("stacking", StackingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))]), binary, options=no_maps)
sk("calibrated", CalibratedClassifierCV(LogisticRegression(), cv=2), binary, options=no_maps)
sk("scaled_logistic_opset_12", make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), three, target=12)
sk("raw_scores", LogisticRegression(), binary, options={"zipmap": False, "raw_scores": True})

# Values.
sk("linear_regression", LinearRegression(), signal)
sk("ridge_multi_output", Ridge(), multi_y)
sk("multi_output_regressor", MultiOutputRegressor(GradientBoostingRegressor(n_estimators=6)), multi_y, tolerance=1e-4)
sk("forest_regressor", RandomForestRegressor(15, max_depth=5, random_state=1), signal)
sk("mlp_regressor", MLPRegressor(hidden_layer_sizes=(8,), max_iter=60, random_state=1), signal)

# Clusters, mixtures, outliers.
sk("k_means", KMeans(4, n_init=3, random_state=1), None, tolerance=1e-3)
sk("gaussian_mixture", GaussianMixture(3, random_state=1), None, tolerance=1e-2)
sk("isolation_forest", IsolationForest(n_estimators=20, random_state=1), None, target=15, tolerance=1e-4)
sk("one_class_svm", OneClassSVM(), None, tolerance=1e-3)
sk("local_outlier_factor", LocalOutlierFactor(novelty=True), None, tolerance=1e-3)

# Missing values.
holes = rows.copy()
holes[::3, 1] = np.nan
sk("imputer", make_pipeline(SimpleImputer(), LogisticRegression()), binary, fit=X, feed=holes)

# Doubles keep their digits.
wide = np.array([[1700000000123.0, 1.5], [1700000000001.0, -2.25]])
graph = helper.make_graph(
    [helper.make_node("Sub", ["x", "origin"], ["y"])], "g",
    [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", 2])],
    [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N", 2])],
    [numpy_helper.from_array(np.array([1700000000000.0, 0.0]), "origin")],
)  # fmt: skip


def made(graph, opset=17, ir=8):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    return model


save("doubles", made(graph), {"x": wide}, frame=floats(wide), columns=["f0", "f1"], labels=wide - [1700000000000.0, 0.0])
sk_double = LinearRegression().fit(X.astype(np.float64), signal)
model = to_onnx(sk_double, initial_types=[("X", DoubleTensorType([None, 6]))], target_opset=17)
save("double_regression", model, {"X": rows.astype(np.float64)}, frame=floats(rows.astype(np.float64)), columns=[f"f{i}" for i in range(6)], labels=sk_double.predict(rows.astype(np.float64)), tolerance=1e-9)

# Columns of their own types: text, integers, numbers.
cities = np.array(["Berlin", "Lyon", "Porto"])[random.integers(0, 3, 400)].reshape(-1, 1)
ages = random.integers(18, 90, (400, 1)).astype(np.int64)
incomes = random.normal(40, 10, (400, 1)).astype(np.float32)
frame = np.empty((400, 3), dtype=object)
frame[:, 0], frame[:, 1], frame[:, 2] = cities[:, 0], ages[:, 0], incomes[:, 0]
tiers = np.array(["gold", "plain"])[(ages[:, 0] > 50).astype(int)]
types = [("city", StringTensorType([None, 1])), ("age", Int64TensorType([None, 1])), ("income", FloatTensorType([None, 1]))]
feeds = {"city": cities[:16].astype(object), "age": ages[:16], "income": incomes[:16]}
for name, encoder, options in (("one_hot", OneHotEncoder(handle_unknown="ignore"), True), ("ordinal", OrdinalEncoder(), False)):
    columns = ColumnTransformer([("city", encoder, [0]), ("number", MinMaxScaler(), [1, 2])])
    estimator = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(frame, tiers)
    chosen = {id(estimator): {"zipmap": options}}
    model = to_onnx(estimator, initial_types=types, target_opset=15, options=chosen)
    save(f"columns_{name}", model, feeds, frame=frame[:16].tolist(), columns=["city", "age", "income"], labels=estimator.predict(frame[:16]))

# Text.
texts = np.array(["refund my order please", "great product and fast", "late again, very bad", "thank you, well done"] * 20)
moods = np.array(["bad", "good", "bad", "good"] * 20)
for name, vectorizer in (("tfidf", TfidfVectorizer(lowercase=False)), ("counts", CountVectorizer(lowercase=False))):
    estimator = make_pipeline(vectorizer, LogisticRegression()).fit(texts, moods)
    model = to_onnx(estimator, initial_types=[("text", StringTensorType([None, 1]))], target_opset=15, options={id(estimator): no_maps})
    save(f"text_{name}", model, {"text": texts[:8].reshape(-1, 1).astype(object)}, frame=texts[:8].reshape(-1, 1).tolist(), columns=["text"], labels=estimator.predict(texts[:8]))

# LightGBM and XGBoost.
six = [f"f{i}" for i in range(6)]
booster = lightgbm.LGBMClassifier(n_estimators=12, verbose=-1).fit(X, three)
model = convert_lightgbm(booster, initial_types=[("input", OnnxmlFloat([None, 6]))], target_opset=15, zipmap=False)
save("lightgbm_classes", model, {"input": rows}, frame=floats(rows), columns=six, labels=booster.predict(rows))
model = convert_lightgbm(booster, initial_types=[("input", OnnxmlFloat([None, 6]))], target_opset=15)
save("lightgbm_zipmap", model, {"input": rows}, frame=floats(rows), columns=six, labels=booster.predict(rows))
booster = lightgbm.LGBMRegressor(n_estimators=12, verbose=-1).fit(X, signal)
save("lightgbm_regression", convert_lightgbm(booster, initial_types=[("input", OnnxmlFloat([None, 6]))], target_opset=15), {"input": rows}, frame=floats(rows), columns=six, labels=booster.predict(rows), tolerance=1e-4)
booster = xgboost.XGBClassifier(n_estimators=12, max_depth=4).fit(X, binary)
save("xgboost_binary", convert_xgboost(booster, initial_types=[("input", OnnxmlFloat([None, 6]))], target_opset=15), {"input": rows}, frame=floats(rows), columns=six, labels=booster.predict(rows), tolerance=1e-4)
booster = xgboost.XGBClassifier(n_estimators=12, max_depth=4).fit(X, (three - 10) // 10)
save("xgboost_classes", convert_xgboost(booster, initial_types=[("input", OnnxmlFloat([None, 6]))], target_opset=15), {"input": rows}, frame=floats(rows), columns=six, labels=booster.predict(rows), tolerance=1e-4)
booster = xgboost.XGBRegressor(n_estimators=12, max_depth=4).fit(X, signal)
save("xgboost_regression", convert_xgboost(booster, initial_types=[("input", OnnxmlFloat([None, 6]))], target_opset=15), {"input": rows}, frame=floats(rows), columns=six, labels=booster.predict(rows), tolerance=1e-4)

# CatBoost's own export: opsets of ONNX-ML alone, strings for classes, an output that has one dimension more than it declares.
for name, estimator, y in (
    ("catboost_binary", catboost.CatBoostClassifier, binary),
    ("catboost_classes", catboost.CatBoostClassifier, three),
    ("catboost_colours", catboost.CatBoostClassifier, colours),
    ("catboost_regression", catboost.CatBoostRegressor, signal),
):
    booster = estimator(iterations=12, depth=4, verbose=0, allow_writing_files=False).fit(X, y)
    path = os.path.join(out, "catboost.onnx")
    booster.save_model(path, format="onnx")
    save(name, onnx.load(path), {"features": rows}, frame=floats(rows), columns=six, labels=np.ravel(booster.predict(rows)), tolerance=1e-4)
    os.remove(path)

# Every type there and back.
for dtype in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "object"):
    kind = TensorProto.STRING if dtype == "object" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    if dtype == "object":
        value = np.array([["a", "", "ü€"], ["b", "c", "line\nbreak"]], dtype=object)
    elif dtype == "bool":
        value = np.array([[True, False, True], [False, False, True]])
    elif dtype.startswith("float"):
        value = np.array([[1.5, -0.25, 6.1e-5], [-2.0, 0.333, 100.0]], dtype=dtype)
    else:
        info = np.iinfo(dtype)
        value = np.array([[info.min, info.max, 1], [0, info.max - 1, 7]], dtype=dtype)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", kind, ["N", "M"])], [helper.make_tensor_value_info("y", kind, ["N", "M"])])
    save(f"identity_{dtype}", made(graph), {"x": value}, tolerance=0)

# Images, sequences, several inputs and outputs, dimensions that are fixed or have names.
image = random.normal(size=(2, 3, 16, 16)).astype(np.float32)
weights = numpy_helper.from_array(random.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
nodes = [helper.make_node("Conv", ["image", "w"], ["c"]), helper.make_node("Relu", ["c"], ["r"]), helper.make_node("GlobalAveragePool", ["r"], ["p"]), helper.make_node("Flatten", ["p"], ["scores"])]
graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("image", 1, ["batch", 3, "height", "width"])], [helper.make_tensor_value_info("scores", 1, ["batch", 4])], [weights])
save("image_dynamic", made(graph), {"image": image})
save("image_external_data", made(graph), {"image": image}, external=True)
graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("image", 1, [1, 3, 16, 16])], [helper.make_tensor_value_info("scores", 1, [1, 4])], [weights])
save("image_fixed_batch_1", made(graph), {"image": image[:1]})
sequence = random.normal(size=(5, 2, 3)).astype(np.float32)
w = numpy_helper.from_array(random.normal(size=(1, 16, 3)).astype(np.float32), "W")
r = numpy_helper.from_array(random.normal(size=(1, 16, 4)).astype(np.float32), "R")
graph = helper.make_graph([helper.make_node("LSTM", ["x", "W", "R"], ["y", "h"], hidden_size=4)], "g", [helper.make_tensor_value_info("x", 1, ["time", "batch", 3])], [helper.make_tensor_value_info("y", 1, ["time", 1, "batch", 4]), helper.make_tensor_value_info("h", 1, [1, "batch", 4])], [w, r])
save("sequence_lstm", made(graph, 14), {"x": sequence})
ids = np.array([[3, 1, 2], [0, 4, 4]], dtype=np.int64)
mask = np.array([[1, 1, 0], [1, 1, 1]], dtype=np.int64)
table = numpy_helper.from_array(random.normal(size=(5, 4)).astype(np.float32), "table")
nodes = [
    helper.make_node("Gather", ["table", "input_ids"], ["e"]),
    helper.make_node("Cast", ["attention_mask"], ["m"], to=1),
    helper.make_node("Unsqueeze", ["m", "last"], ["u"]),
    helper.make_node("Mul", ["e", "u"], ["hidden"]),
    helper.make_node("ReduceSum", ["hidden", "middle"], ["pooled"], keepdims=0),
]  # fmt: skip
last = numpy_helper.from_array(np.array([2]), "last")
middle = numpy_helper.from_array(np.array([1]), "middle")
graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("input_ids", 7, ["batch", "tokens"]), helper.make_tensor_value_info("attention_mask", 7, ["batch", "tokens"])], [helper.make_tensor_value_info("hidden", 1, ["batch", "tokens", 4]), helper.make_tensor_value_info("pooled", 1, ["batch", 4])], [table, last, middle])
save("embeddings_two_inputs_two_outputs", made(graph, 13), {"input_ids": ids, "attention_mask": mask})
graph = helper.make_graph([helper.make_node("MatMul", ["x", "m"], ["y"])], "g", [helper.make_tensor_value_info("x", 1, [1, 3])], [helper.make_tensor_value_info("y", 1, [1, 2])], [numpy_helper.from_array(np.ones((3, 2), np.float32), "m")])
save("fixed_batch_1", made(graph), {"x": np.array([[1, 2, 3]], np.float32)}, frame=[[1, 2, 3], [4, 5, 6], [7, 8, 9]], columns=["f0", "f1", "f2"], labels=np.array([[6, 6], [15, 15], [24, 24]], np.float32))
graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Greater", ["a", "b"], ["greater"])], "g", [helper.make_tensor_value_info("a", 11, ["N"]), helper.make_tensor_value_info("b", 11, ["N"])], [helper.make_tensor_value_info("sum", 11, ["N"]), helper.make_tensor_value_info("greater", 9, ["N"])])
save("flat_inputs", made(graph), {"a": np.array([1.0, 2.0**53]), "b": np.array([0.5, 1.0])}, frame=[[1.0, 0.5]], columns=["a", "b"])
graph = helper.make_graph([helper.make_node("Softmax", ["z"], ["p"])], "g", [helper.make_tensor_value_info("z", 1, ["N", 3])], [helper.make_tensor_value_info("p", 1, ["N", 3])])
z = random.normal(size=(4, 3)).astype(np.float32)
softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
save("softmax_plain", made(graph), {"z": z}, frame=floats(z), columns=["f0", "f1", "f2"], labels=softmax)
save("softmax_named_by_metadata", made(graph), {"z": z}, metadata={"classes": ["cat", "dog", "fox"]}, frame=floats(z), columns=["f0", "f1", "f2"], labels=np.array(["cat", "dog", "fox"])[z.argmax(axis=1)])
save("softmax_named_by_tags", made(graph), {"z": z}, tags={"headwater.classes": '["x", "y", "z"]'}, frame=floats(z), columns=["f0", "f1", "f2"], labels=np.array(["x", "y", "z"])[z.argmax(axis=1)])

# Half precision, quantised, several opsets.
half = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [helper.make_tensor_value_info("x", 10, ["N", 4])], [helper.make_tensor_value_info("y", 10, ["N", 2])], [numpy_helper.from_array(random.normal(size=(4, 2)).astype(np.float16), "w")])
x16 = random.normal(size=(3, 4)).astype(np.float16)
save("half_precision", made(half), {"x": x16}, frame=floats(x16), columns=["f0", "f1", "f2", "f3"], tolerance=1e-2)
big = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [helper.make_tensor_value_info("x", 1, ["N", 32])], [helper.make_tensor_value_info("y", 1, ["N", 8])], [numpy_helper.from_array(random.normal(size=(32, 8)).astype(np.float32), "w")])
onnx.save(made(big), os.path.join(out, "float.onnx"))
quantize_dynamic(os.path.join(out, "float.onnx"), os.path.join(out, "int8.onnx"), weight_type=QuantType.QInt8)
save("quantised", onnx.load(os.path.join(out, "int8.onnx")), {"x": random.normal(size=(3, 32)).astype(np.float32)}, tolerance=1e-2)
for opset, ir in ((9, 4), (11, 6), (13, 7), (15, 8), (18, 8), (21, 10), (23, 10)):
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "g", [helper.make_tensor_value_info("x", 1, ["N", 3])], [helper.make_tensor_value_info("y", 1, ["N", 1])], [numpy_helper.from_array(np.array([[1], [2], [3]], np.float32), "w"), numpy_helper.from_array(np.zeros(1, np.float32), "b")])
    x = random.normal(size=(4, 3)).astype(np.float32)
    save(f"gemm_opset_{opset}", made(graph, opset, ir), {"x": x}, frame=floats(x), columns=["f0", "f1", "f2"], labels=(x @ np.array([1, 2, 3], np.float32)))
