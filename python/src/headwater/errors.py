"""What can go wrong between a program and the platform."""

from __future__ import annotations

from dataclasses import dataclass

_MAY_SUCCEED_LATER = frozenset({408, 425, 429, 502, 503, 504})


@dataclass(frozen=True)
class FieldProblem:
    """A field of a request that was refused."""

    field: str
    """Path in the request: `rows.0.entity`."""
    problem: str


class HeadwaterError(Exception):
    """Base of the errors of this package."""

    code: str
    """Stable, as in the platform's table of error codes."""
    retryable: bool
    """Whether the same request may succeed later."""

    def __init__(self, message: str, *, code: str, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class RequestFailedError(HeadwaterError):
    """The platform answered with an error."""

    def __init__(  # noqa: PLR0913 - what an answer holds
        self,
        request: str,
        *,
        status: int,
        code: str,
        detail: str,
        fields: tuple[FieldProblem, ...] = (),
        request_id: str | None = None,
        page: str | None = None,
    ) -> None:
        """Describe an answer.

        :param request: method and address
        :param status: of HTTP
        :param code: of the table of error codes; `HTTP_<status>` where something before the platform answered
        :param detail: what the platform says of it
        :param fields: fields of the request that were refused
        :param request_id: as logs and traces name the request
        :param page: address of the page of the error's code
        """
        explained = "" if page is None else f"\n{page}"
        super().__init__(f"{request}: {detail} ({code}){explained}", code=code, retryable=status in _MAY_SUCCEED_LATER)
        self.status = status
        self.detail = detail
        self.fields = fields
        self.request_id = request_id
        self.page = page


class NoAnswerError(HeadwaterError):
    """No answer came: the connection failed. Whether the request was carried out is unknown."""

    def __init__(self, request: str, reason: object) -> None:
        super().__init__(f"{request} failed: {reason}", code="CLIENT_NO_ANSWER", retryable=True)


class AnswerTimeoutError(HeadwaterError):
    """No answer came in time. Whether the request was carried out is unknown."""

    def __init__(self, request: str, timeout: float) -> None:
        super().__init__(f"{request} had no answer within {timeout:g} s", code="CLIENT_TIMEOUT", retryable=True)


class UnreadableAnswerError(HeadwaterError):
    """A success whose body is no JSON: something other than the platform listens at the address."""

    def __init__(self, request: str, status: int) -> None:
        super().__init__(
            f"{request}: status {status}, and the body is no JSON; does the platform listen at this address?",
            code="CLIENT_UNREADABLE_ANSWER",
            retryable=False,
        )


class InvalidFrameError(HeadwaterError, ValueError):
    """A data frame or a list of rows lacks what a request needs."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="CLIENT_INVALID_FRAME", retryable=False)
