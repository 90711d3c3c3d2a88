"""Makes ONNX models of PyTorch, with both of its exporters, and of scikit-learn and LightGBM as Hummingbird writes them in PyTorch. Writes NAME/model.onnx and NAME/case.json under the folder that is given."""

import os
import sys
import warnings

import hummingbird.ml
import lightgbm
import numpy as np
import onnx
import torch
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from onnx_cases import case_writer, floats

warnings.filterwarnings("ignore")
out = sys.argv[1]
save = case_writer(out)
torch.manual_seed(7)
torch.set_num_threads(1)
random = np.random.default_rng(7)


def scripted(module, inputs, outputs, axes, opset):
    """By the exporter that records a run."""
    path = os.path.join(out, "torch.onnx")
    given = tuple(torch.from_numpy(value) for value in inputs.values())
    torch.onnx.export(
        module.eval(), given, path, dynamo=False, opset_version=opset, input_names=list(inputs), output_names=outputs, dynamic_axes=axes,
    )  # fmt: skip
    model = onnx.load(path)
    os.remove(path)
    return model


def exported(module, inputs, outputs, shapes=None):
    """By the exporter that captures the graph."""
    given = tuple(torch.from_numpy(value) for value in inputs.values())
    program = torch.onnx.export(
        module.eval(), given, dynamo=True, verbose=False, input_names=list(inputs), output_names=outputs, dynamic_shapes=shapes,
    )  # fmt: skip
    return program.model_proto


class Tagger(nn.Module):
    """Scores of each token, and of all of them together."""

    def __init__(self, layer):
        super().__init__()
        self.embedding = nn.Embedding(30, 8, padding_idx=0)
        self.layer = layer(8, 6, batch_first=True)
        self.each = nn.Linear(6, 3)
        self.all = nn.Linear(6, 2)

    def forward(self, tokens):
        hidden, _ = self.layer(self.embedding(tokens))
        return self.each(hidden), self.all(hidden[:, -1])


batch = torch.export.Dim("batch")
tokens = random.integers(1, 30, size=(4, 7)).astype(np.int64)
axes = {"tokens": {0: "batch", 1: "time"}, "each": {0: "batch", 1: "time"}, "all": {0: "batch"}}
save("torch_sequence_gru", scripted(Tagger(nn.GRU), {"tokens": tokens}, ["each", "all"], axes, 17), {"tokens": tokens})
save("torch_sequence_lstm_captured", exported(Tagger(nn.LSTM), {"tokens": tokens}, ["each", "all"], ({0: batch},)), {"tokens": tokens})

image = random.normal(size=(2, 3, 16, 16)).astype(np.float32)
convolution = nn.Sequential(
    nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3, groups=6), nn.SiLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4), nn.Softmax(1),
)  # fmt: skip
save("torch_image_convolution", scripted(convolution, {"image": image}, ["p"], {"image": {0: "batch"}, "p": {0: "batch"}}, 13), {"image": image})
made = exported(convolution, {"image": image}, ["p"], ({0: batch},))
save("torch_image_convolution_captured", made, {"image": image})
save("torch_image_external_data", made, {"image": image}, external=True)
save("torch_image_fixed", exported(convolution, {"image": image}, ["p"]), {"image": image})


class Recommender(nn.Module):
    """The inner product of two embeddings."""

    def __init__(self):
        super().__init__()
        self.users = nn.Embedding(20, 6)
        self.items = nn.Embedding(40, 6)

    def forward(self, user, item):
        return (self.users(user) * self.items(item)).sum(-1)


pair = {"user": random.integers(0, 20, 5).astype(np.int64), "item": random.integers(0, 40, 5).astype(np.int64)}
save("torch_embeddings", exported(Recommender(), pair, ["score"], ({0: batch}, {0: batch})), pair)
frame = np.stack([pair["user"], pair["item"]], axis=1)
made = scripted(Recommender(), pair, ["score"], {name: {0: "batch"} for name in ("user", "item", "score")}, 15)
save("torch_embeddings_as_rows", made, pair, frame=frame.tolist(), columns=["user", "item"])
layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
x = random.normal(size=(3, 5, 8)).astype(np.float32)
save("torch_transformer", exported(nn.TransformerEncoder(layer, 1), {"x": x}, ["y"], ({0: batch},)), {"x": x})

rows = random.normal(size=(16, 6)).astype(np.float32)
columns = [f"f{i}" for i in range(6)]
network = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1))
made = exported(network, {"x": rows}, ["y"], ({0: batch},))
with torch.no_grad():
    save("torch_rows", made, {"x": rows}, frame=floats(rows), columns=columns, labels=np.ravel(network(torch.from_numpy(rows)).numpy()))
half = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).half()
save("torch_half_precision", exported(half, {"x": rows.astype(np.float16)}, ["y"], ({0: batch},)), {"x": rows.astype(np.float16)}, tolerance=1e-2)

# Hummingbird: trees and pipelines as tensor operations.
X = random.normal(size=(400, 6)).astype(np.float32)
signal = X[:, 0] + 0.6 * X[:, 1] * X[:, 2]
three = np.digitize(signal, [-0.6, 0.6]) * 10 + 10


def hummingbird_case(name, estimator, y, outputs, **more):
    estimator.fit(X, y)
    # What it makes of shallow trees otherwise (matrix products) cannot compute a single row once it is recorded.
    module = hummingbird.ml.convert(estimator, "torch", extra_config={"tree_implementation": "tree_trav"}).model
    made = scripted(module, {"input": rows}, outputs, {key: {0: "batch"} for key in ["input", *outputs]}, 15)
    save(name, made, {"input": rows}, frame=floats(rows), columns=columns, labels=np.ravel(estimator.predict(rows)), **more)


classes = ["label", "probabilities"]
hummingbird_case("hummingbird_forest", RandomForestClassifier(10, max_depth=5, random_state=1), three, classes)
hummingbird_case("hummingbird_boosting", GradientBoostingClassifier(n_estimators=10, random_state=1), three, classes, tolerance=1e-4)
hummingbird_case("hummingbird_pipeline", make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), three, classes)
hummingbird_case("hummingbird_lightgbm", lightgbm.LGBMRegressor(n_estimators=12, verbose=-1), signal, ["variable"], metadata={"task": "regression"}, tolerance=1e-4)
hummingbird_case("hummingbird_isolation_forest", IsolationForest(n_estimators=20, random_state=1), None, ["label", "scores"], tolerance=1e-4)
