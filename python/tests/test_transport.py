from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headwater import AnswerTimeoutError, Client, NoAnswerError, RequestFailedError, UnreadableAnswerError

Answer = tuple[int, object, dict[str, str]]


@dataclass
class Seen:
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[object] = field(default_factory=list)


@contextmanager
def listening(answer: Callable[[int], Answer]) -> Iterator[tuple[str, Seen]]:
    """Answer the n-th request, from 0."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.headers.append({name.lower(): value for name, value in self.headers.items()})
            seen.bodies.append(json.loads(body))
            status, content, headers = answer(len(seen.bodies) - 1)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


PROBLEM = {
    "type": "/docs/errors#GATEWAY_INVALID_EVENT",
    "status": 400,
    "detail": "the event was refused: amount",
    "code": "GATEWAY_INVALID_EVENT",
    "fields": [{"field": "amount", "problem": "must be a number"}],
}
TAKEN = {"event_id": "e1", "status": "accepted"}


def test_a_request_is_repeated_with_the_same_event_until_it_is_taken() -> None:
    with listening(lambda at: (503, {}, {}) if at < 2 else (202, TAKEN, {})) as (url, seen):
        assert Client(gateway_url=url, token=lambda: "secret").events.send({"event_type": "t"}) == "e1"
    assert len(seen.bodies) == 3
    assert seen.bodies[0] == seen.bodies[1] == seen.bodies[2]
    assert len({each["x-request-id"] for each in seen.headers}) == 1
    assert seen.headers[0]["authorization"] == "Bearer secret"


def test_a_refusal_has_code_fields_and_page_and_is_not_repeated() -> None:
    refused = listening(lambda _: (400, PROBLEM, {"x-request-id": "r1"}))
    with refused as (url, seen), pytest.raises(RequestFailedError) as caught:
        Client(gateway_url=url).events.send({"event_type": "t"})
    error = caught.value
    assert (error.status, error.code, error.request_id) == (400, "GATEWAY_INVALID_EVENT", "r1")
    assert error.fields[0].field == "amount"
    assert error.page == f"{url}/docs/errors#GATEWAY_INVALID_EVENT"
    assert "the event was refused: amount (GATEWAY_INVALID_EVENT)" in str(error)
    assert len(seen.bodies) == 1


def test_retry_after_is_kept_and_a_long_one_is_left_to_the_caller() -> None:
    with listening(lambda at: (429, PROBLEM, {"retry-after": "0.3"}) if at == 0 else (202, TAKEN, {})) as (url, _):
        started = time.monotonic()
        Client(gateway_url=url).events.send({"event_type": "t"})
        assert time.monotonic() - started >= 0.3
    with listening(lambda _: (429, PROBLEM, {"retry-after": "60"})) as (url, seen):
        with pytest.raises(RequestFailedError) as caught:
            Client(gateway_url=url).events.send({"event_type": "t"})
        assert caught.value.retryable
        assert len(seen.bodies) == 1


def test_no_answer_in_time_no_listener_and_another_listener() -> None:
    released = threading.Event()

    def late(_: int) -> Answer:
        released.wait(5)
        return 202, TAKEN, {}

    with listening(late) as (url, _):
        with pytest.raises(AnswerTimeoutError, match=r"within 0\.1 s"):
            Client(gateway_url=url, timeout=0.1, retries=0).events.send({"event_type": "t"})
        released.set()
    with pytest.raises(NoAnswerError):
        Client(gateway_url=url, retries=0).events.send({"event_type": "t"})
    with listening(lambda _: (200, b"<html>", {})) as (url, _), pytest.raises(UnreadableAnswerError):
        Client(gateway_url=url).events.send({"event_type": "t"})
    with listening(lambda _: (502, b"<html>", {})) as (url, _), pytest.raises(RequestFailedError) as caught:
        Client(gateway_url=url, retries=0).events.send({"event_type": "t"})
    assert caught.value.code == "HTTP_502"


def test_events_are_sent_in_parts_and_refusals_have_their_place() -> None:
    def answer(at: int) -> Answer:
        refused = {"index": 3, "status": "rejected", "code": "GATEWAY_INVALID_EVENT", "reason": "amount", "fields": []}
        return 200, {"accepted": 999 if at == 0 else 200, "duplicates": 0, "results": [refused] if at == 1 else []}, {}

    with listening(answer) as (url, seen):
        result = Client(gateway_url=url).events.ingest([{"n": n} for n in range(1_200)], event_type="t")
    assert (result.accepted, result.duplicates, result.refused[0].index) == (1_199, 0, 1_003)
    assert "1 refused" in result._repr_html_()
    assert [len(each) for each in seen.bodies if isinstance(each, list)] == [1_000, 200]
    sent = seen.bodies[0]
    assert isinstance(sent, list)
    assert sent[7]["event_type"] == "t"
    assert len({each["event_id"] for each in sent}) == 1_000
