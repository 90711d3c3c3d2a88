"""Client of headwater: features, predictions, events and model versions, as data frames.

>>> from headwater import Client
>>> client = Client()
>>> client.features.online("fraud@1", ["a1", "a2"]).to_pandas()
"""

from __future__ import annotations

from importlib.metadata import version

from .client import Client
from .errors import (
    AnswerTimeoutError,
    FieldProblem,
    HeadwaterError,
    InvalidFrameError,
    NoAnswerError,
    RequestFailedError,
    UnreadableAnswerError,
)
from .events import EventsClient, IngestResult, RefusedEvent
from .features import FeaturesClient, PushResult, RefusedRow, Why
from .predictions import Contributions, Explanation, Prediction, PredictionsClient
from .registry import ModelVersion, RegistryClient
from .table import Table

__version__ = version("headwater")

__all__ = [
    "AnswerTimeoutError",
    "Client",
    "Contributions",
    "EventsClient",
    "Explanation",
    "FeaturesClient",
    "FieldProblem",
    "HeadwaterError",
    "IngestResult",
    "InvalidFrameError",
    "ModelVersion",
    "NoAnswerError",
    "Prediction",
    "PredictionsClient",
    "PushResult",
    "RefusedEvent",
    "RefusedRow",
    "RegistryClient",
    "RequestFailedError",
    "Table",
    "UnreadableAnswerError",
    "Why",
    "__version__",
]
