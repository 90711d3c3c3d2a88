"""Makes ONNX models of Keras with tf2onnx, and what Python's onnxruntime gives for them. Writes NAME/model.onnx and NAME/case.json under the folder that is given."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

from onnx_cases import case_writer, floats

out = sys.argv[1]
save = case_writer(out)
keras.utils.set_random_seed(7)
random = np.random.default_rng(7)


def convert(model, opset, *specs):
    """As tf2onnx converts a function, under the names of the tensors."""

    @tf.function(input_signature=specs)
    def call(*tensors):
        return model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)

    return tf2onnx.convert.from_function(call, input_signature=specs, opset=opset)[0]


def exported(model):
    """As Keras exports it by itself."""
    path = os.path.join(out, "keras.onnx")
    model.export(path, format="onnx", verbose=False)
    read = onnx.load(path)
    os.remove(path)
    return read


def spec(name, shape, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype, name=name)


# A sequence of any length.
x = random.normal(size=(3, 9, 4)).astype(np.float32)
given = keras.Input((None, 4))
model = keras.Model(given, layers.Dense(2)(layers.LSTM(6)(layers.GRU(8, return_sequences=True)(given))))
save("keras_sequence_gru_lstm", convert(model, 17, spec("x", (None, None, 4))), {"x": x})
given = keras.Input((9, 4))
model = keras.Model(given, layers.Bidirectional(layers.LSTM(5, return_sequences=True))(given))
save("keras_sequence_bidirectional", convert(model, 13, spec("x", (None, 9, 4))), {"x": x})
given = keras.Input((9, 4))
attended = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(given, given) + given)
model = keras.Model(given, layers.GlobalAveragePooling1D()(attended))
save("keras_attention", convert(model, 15, spec("x", (None, 9, 4))), {"x": x})

# An image, with the channels last.
image = random.normal(size=(2, 16, 16, 3)).astype(np.float32)
model = keras.Sequential(
    [
        keras.Input((16, 16, 3)), layers.Conv2D(6, 3, activation="relu"), layers.BatchNormalization(), layers.MaxPooling2D(),
        layers.DepthwiseConv2D(3), layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax"),
    ]
)  # fmt: skip
save("keras_image_convolution", convert(model, 17, spec("image", (None, 16, 16, 3))), {"image": image})
made = exported(model)
save("keras_image_exported", made, {made.graph.input[0].name: image})

# Embeddings: of tokens, and beside numbers.
tokens = random.integers(0, 30, size=(4, 7)).astype(np.int64)
numbers = random.normal(size=(4, 3)).astype(np.float32)
given = keras.Input((7,), dtype="int64")
model = keras.Model(given, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(layers.Embedding(30, 8)(given))))
save("keras_embedding", convert(model, 17, spec("tokens", (None, 7), tf.int64)), {"tokens": tokens})
other = keras.Input((3,))
joined = layers.Concatenate()([layers.Flatten()(layers.Embedding(30, 4)(given)), other])
model = keras.Model([given, other], [layers.Dense(2)(joined), layers.Dense(1)(joined)])
save("keras_two_inputs_two_outputs", convert(model, 17, spec("tokens", (None, 7), tf.int64), spec("numbers", (None, 3))), {"tokens": tokens, "numbers": numbers})

# Rows of columns.
rows = random.normal(size=(16, 6)).astype(np.float32)
columns = [f"f{i}" for i in range(6)]
model = keras.Sequential([keras.Input((6,)), layers.Rescaling(0.5, offset=0.1), layers.Dense(8, activation="elu"), layers.Dense(1)])
made = convert(model, 18, spec("x", (None, 6)))
save("keras_rows_regression", made, {"x": rows}, frame=floats(rows), columns=columns, labels=np.ravel(model.predict(rows, verbose=0)))
model = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")])
names = ["cat", "dog", "fox"]
labels = np.array(names)[model.predict(rows, verbose=0).argmax(axis=1)]
made = convert(model, 17, spec("x", (None, 6)))
save("keras_rows_named_classes", made, {"x": rows}, metadata={"classes": names}, frame=floats(rows), columns=columns, labels=labels)
