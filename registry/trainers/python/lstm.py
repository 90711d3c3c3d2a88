"""
The next value of a sequence of positive numbers, such as prices (LSTM; Hochreiter and Schmidhuber, 1997), in JAX.

The columns are the sequence, oldest first. The graph computes logarithmic returns, standardises them, and multiplies the newest value with what
the network expects: so the scale of a sequence does not matter, and a network that has learned nothing gives nearly the naive forecast.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# One thread: the same sums in the same order.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from onnx import TensorProto, helper, numpy_helper

from fitted import Fitted

OPSET = 15
DEFAULTS = {"hidden": 16, "epochs": 60, "learning_rate": 0.003, "batch_rows": 128, "weight_decay": 0.0001, "patience": 8}
# Of the training rows, the newest: they decide when to stop.
VALIDATION_SHARE = 0.15


def suggest(trial):
    return {
        "hidden": trial.suggest_int("hidden", 4, 64, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


def objective(spec):
    return ("log_return_rmse", "minimize")


def score(spec, fitted, rows):
    usable = complete(rows)
    return rmse(np.log(fitted.predict(usable.matrix)[:, 0] / usable.labels))


def rmse(errors):
    return float(np.sqrt(np.mean(np.square(errors))))


def complete(rows):
    is_whole = ~np.isnan(rows.matrix).any(axis=1)
    return type(rows)(rows.matrix[is_whole], rows.labels[is_whole])


def forward(weights, returns):
    """Expected next return, standardised [N], of standardised returns [N, steps]. Gates as ONNX orders them: input, output, forget, cell."""

    def step(state, value):
        hidden, cell = state
        gates = value[:, None] * weights["input"] + hidden @ weights["recurrent"] + weights["bias"]
        i, o, f, c = jnp.split(gates, 4, axis=1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), None

    zeros = jnp.zeros((returns.shape[0], weights["recurrent"].shape[0]))
    (hidden, _), _ = jax.lax.scan(step, (zeros, zeros), returns.T)
    return hidden @ weights["head"] + weights["head_bias"]


def initial(key, hidden):
    keys = jax.random.split(key, 2)
    bias = np.zeros(4 * hidden, dtype=np.float32)
    # Remembers, to begin with.
    bias[2 * hidden : 3 * hidden] = 1.0
    return {
        "input": jax.random.normal(keys[0], (4 * hidden,)) * 0.5,
        "recurrent": jax.random.normal(keys[1], (hidden, 4 * hidden)) / np.sqrt(hidden),
        "bias": jnp.asarray(bias),
        "head": jnp.zeros(hidden),
        "head_bias": jnp.zeros(()),
    }


def fit(spec, rows, params):
    usable = complete(rows)
    left_out = len(rows) - len(usable)
    if left_out > 0:
        print(f"{left_out} rows lack a part of the sequence and are left out", flush=True)
    if len(usable) < 100:
        sys.exit(f"{len(usable)} whole sequences are too few to train on: 100 are needed")
    if not ((usable.matrix > 0).all() and (usable.labels > 0).all()):
        sys.exit("a sequence has values of 0 or below; this trainer is for positive ones, such as prices")
    returns = np.diff(np.log(usable.matrix), axis=1)
    targets = np.log(usable.labels / usable.matrix[:, -1]).astype(np.float32)
    mean, spread = float(returns.mean()), float(returns.std())
    inputs, targets = (returns - mean) / spread, (targets - mean) / spread
    cut = int(len(inputs) * (1 - VALIDATION_SHARE))
    weights, history = train(spec["seed"], params, inputs[:cut], targets[:cut], inputs[cut:], targets[cut:])
    constants = {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}
    predict_returns = jax.jit(forward)

    def predict(matrix):
        steps = (np.diff(np.log(matrix), axis=1) - np.float32(mean)) / np.float32(spread)
        expected = np.asarray(predict_returns(constants, steps)) * np.float32(spread) + np.float32(mean)
        return (matrix[:, -1] * np.exp(expected))[:, None]

    return Fitted(
        onnx=export(constants, mean, spread, usable.matrix.shape[1]),
        input="features",
        output="value",
        task="regression",
        predict=predict,
        tolerance=1e-4,
        required=True,
        metrics={"training_loss_first": history[0], "training_loss_last": history[-1], "epochs_trained": float(len(history))},
        params={"library": f"jax {jax.__version__}", "steps": usable.matrix.shape[1]},
    )


def train(seed, params, inputs, targets, validation_inputs, validation_targets):
    """Weights that were best on the validation rows, and the mean training loss of each epoch."""
    optimizer = optax.adamw(params["learning_rate"], weight_decay=params["weight_decay"])
    weights = initial(jax.random.key(seed), params["hidden"])
    state = optimizer.init(weights)
    batches = max(1, len(inputs) // params["batch_rows"])
    used = batches * min(params["batch_rows"], len(inputs))

    def loss_of(weights, batch_inputs, batch_targets):
        return jnp.mean((forward(weights, batch_inputs) - batch_targets) ** 2)

    @jax.jit
    def epoch(weights, state, inputs, targets, key):
        order = jax.random.permutation(key, len(inputs))[:used].reshape(batches, -1)

        def step(carry, rows):
            weights, state = carry
            loss, gradients = jax.value_and_grad(loss_of)(weights, inputs[rows], targets[rows])
            updates, state = optimizer.update(gradients, state, weights)
            return (optax.apply_updates(weights, updates), state), loss

        (weights, state), losses = jax.lax.scan(step, (weights, state), order)
        return weights, state, losses.mean()

    validation_loss_of = jax.jit(loss_of)
    inputs, targets = jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)
    validation_inputs = jnp.asarray(validation_inputs, jnp.float32)
    validation_targets = jnp.asarray(validation_targets, jnp.float32)
    best, best_loss, waited, history = weights, float("inf"), 0, []
    for number in range(params["epochs"]):
        weights, state, loss = epoch(weights, state, inputs, targets, jax.random.fold_in(jax.random.key(seed), number))
        history.append(float(loss))
        validation_loss = float(validation_loss_of(weights, validation_inputs, validation_targets))
        if validation_loss < best_loss:
            best, best_loss, waited = weights, validation_loss, 0
        else:
            waited += 1
        if number % 5 == 0:
            print(f"epoch {number}: loss {history[-1]:.4f}, of the validation rows {validation_loss:.4f}", flush=True)
        if waited >= params["patience"]:
            break
    return best, history


def export(weights, mean, spread, steps):
    """[N, steps] values to the next value, [N, 1]."""
    hidden = weights["recurrent"].shape[0]

    def floats(name, values):
        return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)

    def integers(name, *values):
        return numpy_helper.from_array(np.array(values, dtype=np.int64), name)

    initializers = [
        floats("mean", mean),
        floats("spread", spread),
        floats("input_weights", weights["input"][None, :, None]),
        floats("recurrent_weights", weights["recurrent"].T[None]),
        floats("biases", np.concatenate([weights["bias"], np.zeros(4 * hidden)])[None]),
        floats("head", weights["head"][:, None]),
        floats("head_bias", weights["head_bias"].reshape(1)),
        integers("zero", 0),
        integers("one", 1),
        integers("two", 2),
        integers("last", -1),
        integers("end", 2**31),
    ]
    nodes = [
        helper.make_node("Log", ["features"], ["logarithms"]),
        helper.make_node("Slice", ["logarithms", "one", "end", "one"], ["later"]),
        helper.make_node("Slice", ["logarithms", "zero", "last", "one"], ["earlier"]),
        helper.make_node("Sub", ["later", "earlier"], ["returns"]),
        helper.make_node("Sub", ["returns", "mean"], ["centered"]),
        helper.make_node("Div", ["centered", "spread"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["by_step"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["by_step", "two"], ["sequence"]),
        helper.make_node(
            "LSTM", ["sequence", "input_weights", "recurrent_weights", "biases"], ["", "hidden"], hidden_size=hidden
        ),
        helper.make_node("Squeeze", ["hidden", "zero"], ["state"]),
        helper.make_node("Gemm", ["state", "head", "head_bias"], ["expected"]),
        helper.make_node("Mul", ["expected", "spread"], ["widened"]),
        helper.make_node("Add", ["widened", "mean"], ["return"]),
        helper.make_node("Exp", ["return"], ["growth"]),
        helper.make_node("Slice", ["features", "last", "end", "one"], ["newest"]),
        helper.make_node("Mul", ["newest", "growth"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lstm",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", steps])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N", 1])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8).SerializeToString()
