"""The client of one platform."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType

import urllib3

from ._transport import Settings, Transport
from .events import EventsClient
from .features import FeaturesClient
from .predictions import PredictionsClient
from .registry import RegistryClient

_CONNECTIONS = 8


class Client:
    """A client of one platform: `client.features`, `client.events`, `client.predictions`, `client.registry`.

    It opens nothing until a request is sent, keeps connections, and may be used by several threads.
    """

    def __init__(  # noqa: PLR0913 - settings
        self,
        *,
        gateway_url: str | None = None,
        features_url: str | None = None,
        serving_url: str | None = None,
        token: str | Callable[[], str] | None = None,
        timeout: float = 10.0,
        retries: int = 2,
        ca_file: str | None = None,
    ) -> None:
        """Create a client. What is left out comes from the environment.

        :param gateway_url: `HEADWATER_GATEWAY_URL`, else `http://127.0.0.1:8080`
        :param features_url: of the feature API; `HEADWATER_FEATURES_URL`, else `http://127.0.0.1:8083`
        :param serving_url: `HEADWATER_SERVING_URL`, else `http://127.0.0.1:8000`
        :param token: an API key or a JWT; a function is called for each request; `HEADWATER_TOKEN`
        :param timeout: of each attempt, in seconds
        :param retries: how often a request is repeated that had no answer, or one that says to try later (408, 425,
            429, 502, 503, 504). Repeating is safe: events have ids, rows of features and feedback replace themselves,
            and a repeated prediction has the id of its request
        :param ca_file: certificates of authorities that are trusted, in PEM; those of the system without it
        """
        settings = Settings(token if token is not None else os.environ.get("HEADWATER_TOKEN"), timeout, retries)
        self._pool = urllib3.PoolManager(num_pools=3, maxsize=_CONNECTIONS, ca_certs=ca_file)

        def listener(url: str | None, variable: str, port: int) -> Transport:
            address = url or os.environ.get(variable) or f"http://127.0.0.1:{port}"
            return Transport(address, settings, self._pool)

        serving = listener(serving_url, "HEADWATER_SERVING_URL", 8000)
        self.features = FeaturesClient(listener(features_url, "HEADWATER_FEATURES_URL", 8083))
        self.events = EventsClient(listener(gateway_url, "HEADWATER_GATEWAY_URL", 8080))
        self.predictions = PredictionsClient(serving)
        self.registry = RegistryClient(serving)

    def close(self) -> None:
        """Close connections; the client may be used again."""
        self._pool.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
