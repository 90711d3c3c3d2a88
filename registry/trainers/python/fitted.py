"""What a trainer gives back."""

from dataclasses import dataclass, field
from typing import Callable

import numpy as np


@dataclass
class Fitted:
    """A trained model, exported."""

    onnx: bytes
    # Names of the graph's [N, columns] FP32 input and of its output.
    input: str
    output: str
    task: str
    # FP32 [N, columns] to what the output has to be, [N, width].
    predict: Callable[[np.ndarray], np.ndarray]
    classes: list = field(default_factory=list)
    threshold: float | None = None
    # Largest difference between `predict` and the ONNX file, relative to 1 + the value.
    tolerance: float = 1e-5
    # What only the trainer knows.
    metrics: dict = field(default_factory=dict)
    params: dict = field(default_factory=dict)
    # What the library made.
    model: object = None
    # Columns without which nothing can be said.
    required: bool = False
