"""JSON over HTTP with time limits and repeated requests."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import urllib3

from .errors import (
    AnswerTimeoutError,
    FieldProblem,
    HeadwaterError,
    NoAnswerError,
    RequestFailedError,
    UnreadableAnswerError,
)

Json = Any
"""What `json.loads` returns."""

_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0
_FIRST_ERROR = 400


@dataclass(frozen=True)
class Settings:
    """How requests reach the platform."""

    token: str | Callable[[], str] | None = None
    timeout: float = 10.0
    retries: int = 2


class Transport:
    """Sends JSON to one listener and reads its answers."""

    def __init__(self, base_url: str, settings: Settings, pool: urllib3.PoolManager) -> None:
        self._base_url = base_url.rstrip("/")
        self._settings = settings
        self._pool = pool

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read a resource. Parts of the path are escaped."""
        address = "".join(f"/{quote(part, safe='')}" for part in path)
        return self._send("GET", f"{address}?{urlencode(query)}" if query else address, None)

    def post(self, path: str, body: object, *, query: Mapping[str, str] | None = None) -> Json:
        """Send a body, again after no answer and after answers that say to try later."""
        encoded = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        return self._send("POST", f"{path}?{urlencode(query)}" if query else path, encoded)

    def _send(self, method: str, path: str, body: bytes | None) -> Json:
        request_id = uuid.uuid4().hex
        attempt = 0
        while True:
            try:
                return self._try(method, path, body, request_id)
            except _Refused as refused:
                error: HeadwaterError = refused.error
                asked = refused.retry_after
            except HeadwaterError as failed:
                error, asked = failed, 0.0
            if attempt >= self._settings.retries or not error.retryable or asked > _LONGEST_WAIT:
                raise error
            back_off = _FIRST_WAIT * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - no secret
            time.sleep(max(asked, back_off))
            attempt += 1

    def _try(self, method: str, path: str, body: bytes | None, request_id: str) -> Json:
        token, timeout = self._settings.token, self._settings.timeout
        url = f"{self._base_url}{path}"
        request = f"{method} {url}"
        headers = {"accept": "application/json", "x-request-id": request_id}
        if body is not None:
            headers["content-type"] = "application/json"
        secret = token() if callable(token) else token
        if secret is not None:
            headers["authorization"] = f"Bearer {secret}"
        try:
            answer = self._pool.request(
                method, url, body=body, headers=headers, timeout=timeout, retries=False, redirect=False
            )
        except urllib3.exceptions.NewConnectionError as error:  # counts as a timeout in urllib3
            raise NoAnswerError(request, error) from error
        except urllib3.exceptions.TimeoutError as error:
            raise AnswerTimeoutError(request, timeout) from error
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswerError(request, error) from error
        try:
            read = json.loads(answer.data)
        except ValueError:
            read = None
        if answer.status < _FIRST_ERROR:
            if read is None:
                raise UnreadableAnswerError(request, answer.status)
            return read
        raise _Refused(
            _failure(request, url, answer.status, read, answer.headers.get("x-request-id")),
            _seconds(answer.headers.get("retry-after")),
        )


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """An answer that is no success, and when it is worth to repeat the request, in seconds."""

    def __init__(self, error: RequestFailedError, retry_after: float) -> None:
        super().__init__()
        self.error = error
        self.retry_after = retry_after


def _failure(request: str, url: str, status: int, answer: Json, request_id: str | None) -> RequestFailedError:
    problem = answer if isinstance(answer, dict) else {}
    page = problem.get("type")
    return RequestFailedError(
        request,
        status=status,
        code=problem.get("code", f"HTTP_{status}"),
        detail=problem.get("detail", f"status {status}"),
        fields=tuple(
            FieldProblem(each.get("field", ""), each.get("problem", "")) for each in problem.get("fields") or ()
        ),
        request_id=request_id,
        page=urljoin(url, page) if isinstance(page, str) and page != "about:blank" else None,
    )


def _seconds(retry_after: str | None) -> float:
    try:
        return float(retry_after or 0)
    except ValueError:
        return 0.0
